"""``worker dead-letters`` as people type it, on real queues: looking, replaying, discarding, and being killed at it."""

import asyncio
import json
import os
import pty
import re
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.e2e.conftest import Serving
from tests.e2e.program import ROOT, Ended, Worker
from tests.fixtures.administration import execute
from tests.fixtures.databases import Database
from tests.fixtures.vhosts import Management
from tests.fixtures.waiting import eventually
from tests.integration.worker.desk import Desk
from tests.integration.worker.graveyard import story
from worker.topology import Topology

LIBRARY = Topology("library")
DEAD, WORK = LIBRARY.dead_queue, LIBRARY.queue
ADA = b'{"ReaderID": "ada", "Name": "Ada Lovelace"}'
DAY = timedelta(days=1)
NOWHERE = "amqp://worker:secret@127.0.0.1:9/work"

pytestmark = pytest.mark.usefixtures("queues")


@pytest.fixture
async def desk(vhost: str) -> AsyncIterator[Desk]:
    async with Desk.open(vhost) as desk:
        yield desk


async def bury(desk: Desk, body: bytes = ADA, **properties: Any) -> str:
    """Put a message among the dead letters."""
    chosen = {"message_type": "RegisterReader", "headers": story()} | properties
    return await desk.put(body, exchange="", routing_key=DEAD, **chosen)


async def bury_many(desk: Desk, count: int, **properties: Any) -> list[str]:
    """Put good commands of different readers among the dead letters."""
    readers = [json.dumps({"ReaderID": f"r{number}", "Name": "R"}).encode() for number in range(count)]
    return [await bury(desk, reader, **properties) for reader in readers]


def listed(ended: Ended) -> list[str]:
    assert ended.status == 0, ended
    return [letter["id"] for letter in ended.document()["letters"]]


async def test_letters_are_listed_filtered_and_summed_up(worker: Worker, desk: Desk) -> None:
    old = await bury(desk, headers=story(age=40 * DAY))
    bug = await bury(desk, message_type="LendBookCopyToReader", headers=story(age=timedelta(hours=3)))
    bad = await bury(desk, b"{nope", headers=story(reason="not_json"))

    async def said(*arguments: str) -> Ended:
        return await worker("dead-letters", "list", *arguments)

    listing = await said()
    lines = [line.split() for line in listing.output.splitlines()]
    assert lines[0] == ["id", "command", "reason", "died", "(UTC)", "age", "attempts", "bytes"]
    assert [(line[0], line[1], line[2], line[-3]) for line in lines[1:4]] == [
        (old, "RegisterReader", "handler_error", "40d"),
        (bug, "LendBookCopyToReader", "handler_error", "3h"),
        (bad, "RegisterReader", "not_json", lines[3][-3]),
    ]
    assert listing.output.endswith("\nShown are all 3 that fit; 3 are there.\n")
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
    }
    assert listed(await said("--json", "--reason", "not_json", "--reason", "other")) == [bad]
    assert listed(await said("--json", "--command", "LendBookCopyToReader", "--domain", "library")) == [bug]
    assert listed(await said("--json", "--older-than", "39d")) == [old]
    assert listed(await said("--json", "--younger-than", "30m")) == [bad]
    newest = await said("--json", "--limit", "2")
    assert (listed(newest), newest.document()["matching"]) == ([bug, bad], 3)
    nothing = await said("--reason", "other")
    assert (nothing.status, nothing.output) == (0, "None of 3 dead letters fits.\n")
    assert await desk.ready(DEAD) == 3


async def test_everything_of_a_letter_is_shown_and_nothing_a_stranger_wrote_reaches_the_terminal(
    worker: Worker, desk: Desk
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = story(traceparent=f"00-{trace}-b7ad6b7169203331-01", shop="kept") | {
        "worker-error": "because of \x1b]0;owned\x07",
        "worker-traceback": 'Traceback:\n  File "lend.py"\n',
    }
    identity = await bury(desk, b'{"Name": "\x1b[2J"}', headers=headers, correlation_id="visit", reply_to="there")
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
    assert await desk.ready(DEAD) == 1


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


async def test_many_are_replayed_only_when_somebody_agrees(worker: Worker, desk: Desk) -> None:
    await bury_many(desk, 3)
    await bury(desk, headers=story(reason="not_json"))
    dry = await worker("dead-letters", "replay", "--reason", "handler_error", "--dry-run")
    assert dry.status == 0
    assert re.search(r"^handler_error +RegisterReader +3$", dry.output, re.MULTILINE)
    assert dry.output.endswith("\n3 dead letters would be replayed.\n")
    nobody = await worker("dead-letters", "replay", "--reason", "handler_error")
    assert nobody.mistake() == (
        "there is nobody to ask before dead letters are replayed: pass --yes, or --dry-run to count them."
    )
    refused = await asked(worker, "replay", "--reason", "handler_error", answer="n")
    assert (refused.status, refused.output) == (1, "Nothing was replayed.\n")
    assert "3 dead letters will be replayed:\n  3  handler_error  RegisterReader\nGo on?" in refused.complaint
    assert (await desk.ready(DEAD), await desk.ready(WORK)) == (4, 0)
    done = await asked(worker, "replay", "--reason", "handler_error", answer="y")
    assert (done.status, done.output) == (0, "3 dead letters were replayed.\n")
    assert (await desk.ready(DEAD), await desk.ready(WORK)) == (1, 3)
    none = await worker("dead-letters", "replay", "--reason", "handler_error", "--yes", "--json")
    assert none.document() == {"matching": 0, "replayed": 0, "left": {}, "dry_run": False}


async def test_even_one_is_discarded_only_when_somebody_agrees(worker: Worker, desk: Desk) -> None:
    first, second, third = await bury_many(desk, 3)
    nobody = await worker("dead-letters", "discard", first)
    assert nobody.mistake().startswith("there is nobody to ask before dead letters are discarded: ")
    refused = await asked(worker, "discard", first, answer="n")
    assert (refused.status, refused.output) == (1, "Nothing was discarded.\n")
    assert listed(await worker("dead-letters", "list", "--json")) == [first, second, third]
    done = await asked(worker, "discard", second, answer="y")
    assert (done.status, done.output) == (0, "1 dead letter was discarded.\n")
    assert listed(await worker("dead-letters", "list", "--json")) == [first, third]
    every = await worker("dead-letters", "discard", "--all", "--yes", "--json")
    assert every.document() == {"matching": 2, "discarded": 2, "dry_run": False}
    assert (await desk.ready(DEAD), await desk.ready(WORK)) == (0, 0)


async def test_a_replay_that_is_killed_loses_nothing_and_goes_on_when_it_is_run_again(
    worker: Worker, serving: Serving, desk: Desk
) -> None:
    total = 60
    put = await bury_many(desk, total, reply_to=desk.replies)

    async def some_were_sent() -> bool:
        return await desk.ready(WORK) >= 10

    async def is_back() -> bool:
        return await desk.ready(DEAD) + await desk.ready(WORK) >= total

    async with worker.started("dead-letters", "replay", "--all", "--yes", "--rate", "25") as replaying:
        await eventually(some_were_sent, what="the first letters to be replayed", seconds=60)
        replaying.kill()
        await replaying.wait()
    await eventually(is_back, what="the broker to put back what was held")
    sent, left = await desk.ready(WORK), await desk.ready(DEAD)
    assert 10 <= sent < total
    assert total <= sent + left
    async with serving(worker):
        again = await worker("dead-letters", "replay", "--all", "--yes")
        assert (again.status, again.output) == (0, f"{left} dead letters were replayed.\n")
        answers = [await desk.answer() for _ in range(sent + left)]
    assert {answer["command_id"] for answer in answers} == set(put)
    decided = Counter(answer["command_id"] for answer in answers if not answer["duplicate"])
    assert decided == Counter(put)
    assert (await desk.ready(DEAD), await desk.ready(WORK)) == (0, 0)


async def test_a_message_without_an_id_becomes_a_command_only_when_somebody_asks_for_it(
    worker: Worker, serving: Serving, management: Management, vhost: str, desk: Desk
) -> None:
    message = {
        "properties": {"type": "RegisterReader"},
        "routing_key": "library",
        "payload": ADA.decode(),
        "payload_encoding": "string",
    }
    path = f"/api/exchanges/{vhost.rpartition('/')[2]}/commands/publish"
    assert await asyncio.to_thread(management.request, "POST", path, message) == {"routed": True}
    async with serving(worker):
        await desk.holds(DEAD, 1)
        (letter,) = (await worker("dead-letters", "list", "--json")).document()["letters"]
        assert (letter["reason"], letter["own_id"]) == ("missing_message_id", False)
        listing = await worker("dead-letters", "list")
        assert re.search(
            rf"^{letter['id']} \(assigned\) +RegisterReader +missing_message_id ", listing.output, re.MULTILINE
        )
        left = await worker("dead-letters", "replay", letter["id"])
        assert left.status == 1
        assert left.output.startswith("1 dead letter is left: published without an id, ")
        assert await desk.ready(DEAD) == 1
        assert (await worker("dead-letters", "replay", letter["id"], "--assign-id")).status == 0

        async def is_answered() -> bool:
            return (await worker("status", letter["id"])).status == 0

        await eventually(is_answered, what="the answer")
    assert await desk.ready(DEAD) == 0


async def test_a_letter_whose_receipt_may_be_gone_is_not_replayed_unasked(
    worker: Worker, serving: Serving, database: Database, desk: Desk
) -> None:
    """It was answered and its receipt is pruned: a copy among the dead letters would be decided once more."""
    identity = str(uuid4())
    lend = ("publish", "RegisterReader", ADA.decode(), "--id", identity, "--wait")
    async with serving(worker):
        assert (await worker(*lend)).status == 0
    await execute(database.admin_url, "UPDATE eventstore.receipts SET recorded_at = now() - interval '100 days'")
    sent = datetime.now(UTC) - 101 * DAY
    await bury(desk, message_id=identity, timestamp=sent)
    young = await bury(desk, b'{"ReaderID": "bob", "Name": "Bob"}', timestamp=datetime.now(UTC) - DAY)
    replay = ("dead-letters", "replay", "--all", "--yes")
    assert (await worker(*replay, "--dry-run", "--json")).document()["left"] == {}
    assert (await worker("db", "prune", "--older-than", "90d", "--yes", "--json")).document()["deleted"] == 1

    left = await worker(*replay)
    assert left.status == 1
    assert re.match(r"1 dead letter is left: first published before \d{4}-\d\d-\d\d \d\d:\d\d UTC, ", left.output)
    assert left.output.endswith("pass --even-if-forgotten.\n1 dead letter was replayed.\n")
    assert listed(await worker("dead-letters", "list", "--json")) == [identity]
    assert (await desk.take(WORK)).message_id == young
    asked_for = await worker("dead-letters", "replay", identity, "--even-if-forgotten", "--json")
    assert asked_for.document() == {"matching": 1, "replayed": 1, "left": {}, "dry_run": False}
    assert (await desk.take(WORK)).message_id == identity


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (("list", "--domain", "shop"), {}, "there is no domain 'shop' in WORKER_DOMAINS; it names library."),
        (("list", "--older-than", "soon"), {}, "'soon' is no age: write seconds, minutes, "),
        (("list",), {"AMQP_URL": NOWHERE}, "RabbitMQ at 127.0.0.1:9 is out of reach: "),
        (
            ("list",),
            {"WORKER_DOMAINS": "tests.unit.worker.tally:domain"},
            "no worker has ever served tally, so that there is no queue of dead letters; start `worker run` first.",
        ),
        (("replay",), {}, "say which dead letters: name their ids, or filter them, or pass --all."),
        (("replay", "x", "--all"), {}, "say which dead letters: name their ids, or filter them, or pass --all."),
        (("discard", "--all", "--reason", "r"), {}, "say which dead letters: name their ids, or filter them, or pass"),
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
    ended = await worker.having(**environment)("dead-letters", *arguments)
    assert ended.mistake().startswith(told.removesuffix("."))


async def test_without_a_worker_that_made_the_work_queue_a_replay_says_so(worker: Worker, desk: Desk) -> None:
    put = await bury_many(desk, 3)
    await desk.delete(WORK)
    ended = await worker("dead-letters", "replay", "--all", "--yes")
    assert (ended.status, ended.output) == (2, "")
    assert ended.complaint == (
        "worker: no queue takes messages for library.commands; nothing was stored; start a worker for this domain "
        "first, with `worker run`.\n0 of 3 dead letters were replayed before; run it again to go on with the rest.\n"
    )
    assert listed(await worker("dead-letters", "list", "--json")) == put


async def asked(worker: Worker, *arguments: str, answer: str) -> Ended:
    """Run a command at a terminal and type an answer."""
    keyboard, terminal = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", "dead-letters", *arguments),
            env=worker.environment,
            cwd=ROOT,
            stdin=terminal,
            stdout=PIPE,
            stderr=PIPE,
        )
        os.write(keyboard, f"{answer}\n".encode())
        output, complaint = await process.communicate()
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert process.returncode is not None
    # What asks prints a blank to standard output, whatever it is told.
    return Ended(status=process.returncode, output=output.decode().lstrip(), complaint=complaint.decode())
