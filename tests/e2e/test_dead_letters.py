"""``worker dead-letters`` as people type it: looking, and what is done only when somebody agrees."""

import json
import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from tests.e2e.conftest import Serving
from tests.e2e.letters import ADA, DEAD, WORK, asked, listed, put_dead_letter, put_dead_letters
from tests.e2e.program import Ended, Worker
from tests.support.amqp_client import AmqpClient
from tests.support.dead_letters import failure_headers
from tests.support.fixtures.waiting import eventually

DAY = timedelta(days=1)
NOWHERE = "amqp://worker:secret@127.0.0.1:9/work"

pytestmark = pytest.mark.usefixtures("queues")


async def test_letters_are_listed_filtered_and_summed_up(worker: Worker, client: AmqpClient) -> None:
    old = await put_dead_letter(client, headers=failure_headers(age=40 * DAY))
    bug = await put_dead_letter(
        client, message_type="LendBookCopyToReader", headers=failure_headers(age=timedelta(hours=3))
    )
    bad = await put_dead_letter(client, b"{nope", headers=failure_headers(reason="not_json"))

    async def said(*arguments: str) -> Ended:
        return await worker("dead-letters", "list", *arguments)

    listing = await said()
    lines = [line.split() for line in listing.output.splitlines()]
    assert lines[0] == ["id", "command", "reason", "age", "attempts", "error"]
    assert [line[:4] for line in lines[1:4]] == [
        [old, "RegisterReader", "handler_error", "40d"],
        [bug, "LendBookCopyToReader", "handler_error", "3h"],
        [bad, "RegisterReader", "not_json", lines[3][3]],
    ]
    assert [" ".join(line[5:]) for line in lines[1:4]] == ["because"] * 3
    assert listing.output.endswith("\n3 dead letters.\n")
    whole = await said("--json")
    assert listed(whole) == [old, bug, bad]
    document = whole.document()
    assert (document["total"], document["matching"]) == (3, 3)
    assert document["reasons"] == {"handler_error": 2, "not_json": 1}
    assert document["letters"][2] | {"died_at": ""} == {
        "id": bad,
        "own_id": True,
        "domain": "library",
        "command": "RegisterReader",
        "reason": "not_json",
        "died_at": "",
        "attempts": 3,
        "size": 5,
        "replayed_at": None,
        "error": "because",
    }
    assert listed(await said("--json", "--reason", "not_json", "--reason", "other")) == [bad]
    assert listed(await said("--json", "--command", "LendBookCopyToReader", "--domain", "library")) == [bug]
    assert listed(await said("--json", "--older-than", "39d")) == [old]
    assert listed(await said("--json", "--younger-than", "30m")) == [bad]
    newest = await said("--json", "--limit", "2")
    assert (listed(newest), newest.document()["matching"]) == ([bug, bad], 3)
    nothing = await said("--reason", "other")
    told = "None of 3 dead letters fits.\nNo dead letter has the reason other; there are handler_error, not_json.\n"
    assert (nothing.status, nothing.output) == (0, told)
    assert await client.ready(DEAD) == 3


async def test_everything_of_a_letter_is_shown_and_nothing_a_stranger_wrote_reaches_the_terminal(
    worker: Worker, client: AmqpClient
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = failure_headers(traceparent=f"00-{trace}-b7ad6b7169203331-01", shop="kept") | {
        "worker-error": "because of \x1b]0;owned\x07",
        "worker-traceback": 'Traceback:\n  File "lend.py"\n',
    }
    identity = await put_dead_letter(
        client, b'{"Name": "\x1b[2J"}', headers=headers, correlation_id="visit", reply_to="there"
    )
    shown = await worker("dead-letters", "show", identity.upper())
    document = await worker("dead-letters", "show", identity, "--json")
    missing = await worker("dead-letters", "show", "unknown")
    assert shown.status == 0, shown
    for part in (
        identity,
        "RegisterReader",
        "handler_error",
        trace,
        "visit",
        "there",
        "shop: kept",
        '  File "lend.py"',
    ):
        assert part in shown.output
    assert "\x1b" not in shown.output
    assert '{"Name": "\\x1b[2J"}' in shown.output
    (told,) = document.document()
    assert (told["id"], told["body"], told["trace_id"]) == (identity, '{"Name": "\x1b[2J"}', trace)
    assert (told["correlation_id"], told["reply_to"], told["headers"]["shop"]) == ("visit", "there", "kept")
    assert (missing.status, missing.output) == (
        1,
        "There is no dead letter unknown; `worker dead-letters list` shows those that are there.\n",
    )
    assert await client.ready(DEAD) == 1


async def test_what_a_worker_puts_aside_is_replayed_once_its_cause_is_mended(worker: Worker, serving: Serving) -> None:
    narrow = worker.having(WORKER_MAX_MESSAGE_BYTES="10")
    identity = str(uuid4())
    async with serving(narrow):
        failed = await worker("publish", "RegisterReader", ADA.decode(), "--id", identity, "--wait")
        assert failed.status == 1
    (letter,) = (await worker("dead-letters", "show", identity, "--json")).document()
    assert (letter["reason"], json.loads(letter["body"])) == ("too_large", json.loads(ADA))
    async with serving(worker):
        # One letter, named by its id, is replayed without a question.
        done = await worker("dead-letters", "replay", identity)
        assert (done.status, done.output) == (0, "1 dead letter was replayed.\n")

        async def is_answered() -> bool:
            return (await worker("status", identity)).status == 0

        await eventually(is_answered, what="the answer")
    empty = await worker("dead-letters", "list")
    assert (empty.status, empty.output) == (0, "There are no dead letters.\n")


async def test_many_are_replayed_only_when_somebody_agrees(worker: Worker, client: AmqpClient) -> None:
    await put_dead_letters(client, 3)
    await put_dead_letter(client, headers=failure_headers(reason="not_json"))
    dry = await worker("dead-letters", "replay", "--reason", "handler_error", "--dry-run")
    assert dry.status == 0
    assert re.search(r"^handler_error +RegisterReader +3$", dry.output, re.MULTILINE)
    assert dry.output.endswith("\n3 dead letters would be replayed.\n")
    nobody = await worker("dead-letters", "replay", "--reason", "handler_error")
    assert nobody.mistake() == (
        "dead letters are replayed only after a confirmation, and there is no terminal to ask at: pass --yes, or "
        "--dry-run to count them."
    )
    refused = await asked(worker, "replay", "--reason", "handler_error", answer="n")
    assert (refused.status, refused.output) == (1, "Nothing was replayed.\n")
    assert "3 dead letters will be replayed:\n  3  handler_error  RegisterReader\nGo on?" in refused.complaint
    assert (await client.ready(DEAD), await client.ready(WORK)) == (4, 0)
    done = await asked(worker, "replay", "--reason", "handler_error", answer="y")
    assert (done.status, done.output) == (0, "3 dead letters were replayed.\n")
    assert (await client.ready(DEAD), await client.ready(WORK)) == (1, 3)
    none = await worker("dead-letters", "replay", "--reason", "handler_error", "--yes", "--json")
    assert none.document() == {"matching": 0, "replayed": 0, "left": {}, "dry_run": False}


async def test_even_one_is_discarded_only_when_somebody_agrees(worker: Worker, client: AmqpClient) -> None:
    first, second, third = await put_dead_letters(client, 3)
    nobody = await worker("dead-letters", "discard", first)
    assert nobody.mistake().startswith(
        "dead letters are discarded only after a confirmation, and there is no terminal to ask at: "
    )
    refused = await asked(worker, "discard", first, answer="n")
    assert (refused.status, refused.output) == (1, "Nothing was discarded.\n")
    assert listed(await worker("dead-letters", "list", "--json")) == [first, second, third]
    done = await asked(worker, "discard", second, answer="y")
    assert (done.status, done.output) == (0, "1 dead letter was discarded.\n")
    assert listed(await worker("dead-letters", "list", "--json")) == [first, third]
    every = await worker("dead-letters", "discard", "--all", "--yes", "--json")
    assert every.document() == {"matching": 2, "discarded": 2, "dry_run": False}
    assert (await client.ready(DEAD), await client.ready(WORK)) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (("list", "--domain", "shop"), {}, "there is no domain 'shop' in WORKER_DOMAINS; it names library."),
        (("list", "--older-than", "soon"), {}, "'soon' is not an age: write seconds, minutes, "),
        (("list",), {"AMQP_URL": NOWHERE}, "RabbitMQ at 127.0.0.1:9 is out of reach: "),
        (
            ("list",),
            {"WORKER_DOMAINS": "tests.support.domains.tally:domain"},
            "no worker has ever served tally, so it has no dead-letter queue; start `worker run` first.",
        ),
        (("replay",), {}, "say which dead letters: name their ids, or filter them, or pass --all."),
        (("replay", "x", "--all"), {}, "ids and --all each say which dead letters: leave out all but one."),
        (("discard", "--all", "--reason", "r"), {}, "filters and --all each say which dead letters: leave out all but"),
        (
            ("replay", str(UUID(int=7)), "--yes"),
            {},
            f"there is no dead letter {UUID(int=7)}; `worker dead-letters list` shows those that are there.",
        ),
        (("discard", *"abcde", "--yes"), {}, "there is no dead letter a, b, c and 2 more; "),
        (("replay", "--all"), {"DATABASE_URL": ""}, "DATABASE_URL is not set; give it the form "),
    ],
)
async def test_mistakes_are_told_in_a_sentence(
    worker: Worker, arguments: tuple[str, ...], environment: dict[str, str], told: str
) -> None:
    wrong = await worker.having(**environment)("dead-letters", *arguments)
    assert wrong.mistake().startswith(told.removesuffix("."))
