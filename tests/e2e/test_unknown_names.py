"""Names that nobody knows: nothing is served by mistake, and what may have been meant is said."""

from pathlib import Path

import pytest

from tests.e2e.letters import put_dead_letter
from tests.e2e.program import Worker
from tests.support.amqp_client import AmqpClient

MARK = b"\xef\xbb\xbf"
READER = b'{"ReaderID": "ada", "Name": "Ada"}'


@pytest.mark.parametrize("arguments", [("run",), ("publish", "RegisterReader", "{}"), ("dead-letters", "list")])
async def test_without_its_name_no_domain_is_served(worker: Worker, arguments: tuple[str, ...]) -> None:
    told = (await worker.having(WORKER_DOMAINS="")(*arguments)).mistake()
    what, _, advice = told.partition("; ")
    assert what == "WORKER_DOMAINS is not set"
    assert advice.startswith("give it the form module:attribute, such as handlers.library:domain for the example")


async def test_all_that_is_missing_is_told_at_once(worker: Worker) -> None:
    told = await worker.having(DATABASE_URL="", AMQP_URL="", WORKER_DOMAINS="")("run")
    assert (told.status, told.output) == (2, "")
    lines = told.complaint.removeprefix("worker: ").splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["DATABASE_URL", "AMQP_URL", "WORKER_DOMAINS"]


async def test_a_misspelt_variable_is_told(worker: Worker) -> None:
    told = (await worker.having(WORKER_CONCURENCY="8")("run")).mistake()
    assert told == "WORKER_CONCURENCY is no setting (did you mean WORKER_CONCURRENCY?); correct it, or unset it."
    checked = await worker.having(WORKER_SERVICE_HOST="10.0.0.1")("check", "--json")
    (found,) = (each for each in checked.document() if each["part"] == "settings")
    assert (found["good"], found["text"]) == (True, "WORKER_SERVICE_HOST: not a setting, and ignored")


async def test_a_misspelt_command_is_told(worker: Worker) -> None:
    told = (await worker("publish", "RegisterReeder", READER.decode())).mistake()
    assert told.startswith("there is no command 'RegisterReeder'; did you mean RegisterReader? Known are Add")


async def test_a_misspelt_event_type_is_told_where_nothing_matches(worker: Worker) -> None:
    ended = await worker("events", "--type", "ReaderRegisterd", "--type", "ReaderRegistered")
    assert (ended.status, ended.output) == (0, "")
    assert ended.complaint == (
        "No event matches.\nNo domain of WORKER_DOMAINS has the event type ReaderRegisterd; did you mean "
        "ReaderRegistered?\n"
    )


async def test_event_types_that_are_joined_by_a_comma_are_told(worker: Worker) -> None:
    ended = await worker("events", "--type", "ReaderRegistered,BookCopyLent")
    assert ended.complaint.endswith("--type names one event type: repeat it for each.\n")


@pytest.mark.usefixtures("queues")
async def test_a_misspelt_reason_or_command_of_a_letter_is_told(worker: Worker, client: AmqpClient) -> None:
    await put_dead_letter(client)
    listed = await worker("dead-letters", "list", "--reason", "handler_eror", "--command", "Lend")
    assert listed.output.splitlines() == [
        "None of 1 dead letter fits.",
        "No dead letter has the reason handler_eror; did you mean handler_error?",
        "No dead letter has the command Lend; there are RegisterReader.",
    ]
    replayed = await worker("dead-letters", "replay", "--reason", "handler_eror")
    assert "did you mean handler_error?" in replayed.output


@pytest.mark.usefixtures("queues")
async def test_a_byte_order_mark_is_passed_over(worker: Worker, client: AmqpClient, tmp_path: Path) -> None:
    piped = await worker("publish", "RegisterReader", "-", stdin=MARK + READER)
    assert piped.status == 0, piped
    file = tmp_path / "commands.ndjson"
    file.write_bytes(MARK + b'{"type": "RegisterReader", "body": %s}\n' % READER)
    filed = await worker("publish", "--file", str(file))
    assert filed.status == 0, filed
    assert await client.ready("library.commands") == 2
