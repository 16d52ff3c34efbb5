"""``worker dead-letters replay``: killed, interrupted, cut off, and what it leaves unless it is asked for."""

import asyncio
import re
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.e2e.conftest import Serving
from tests.e2e.letters import ADA, DEAD, WORK, listed, put_dead_letter, put_dead_letters
from tests.e2e.program import Worker, ended
from tests.support.amqp_client import AmqpClient
from tests.support.connections import close_connections
from tests.support.dead_letters import failure_headers, make_queues
from tests.support.fixtures.administration import execute
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES

DAY = timedelta(days=1)

pytestmark = pytest.mark.usefixtures("queues")


async def test_a_replay_that_is_killed_loses_nothing_and_goes_on_when_it_is_run_again(
    worker: Worker, serving: Serving, client: AmqpClient
) -> None:
    total = 60
    put = await put_dead_letters(client, total, reply_to=client.replies)

    async def some_were_sent() -> bool:
        return await client.ready(WORK) >= 10

    async def is_back() -> bool:
        return await client.ready(DEAD) + await client.ready(WORK) >= total

    async with worker.started("dead-letters", "replay", "--all", "--yes", "--rate", "25") as replaying:
        await eventually(some_were_sent, what="the first letters to be replayed")
        replaying.kill()
        await replaying.wait()
    await eventually(is_back, what="the broker to put back what was held")
    sent, left = await client.ready(WORK), await client.ready(DEAD)
    assert 10 <= sent < total
    assert total <= sent + left
    async with serving(worker):
        again = await worker("dead-letters", "replay", "--all", "--yes")
        assert (again.status, again.output) == (0, f"{left} dead letters were replayed.\n")
        answers = [await client.answer() for _ in range(sent + left)]
    assert {answer["command_id"] for answer in answers} == set(put)
    decided = Counter(answer["command_id"] for answer in answers if not answer["duplicate"])
    assert decided == Counter(put)
    assert (await client.ready(DEAD), await client.ready(WORK)) == (0, 0)


async def test_a_message_without_an_id_becomes_a_command_only_when_somebody_asks_for_it(
    worker: Worker, serving: Serving, management: Management, vhost: str, client: AmqpClient
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
        await client.holds(DEAD, 1)
        (letter,) = (await worker("dead-letters", "list", "--json")).document()["letters"]
        assert (letter["reason"], letter["own_id"]) == ("missing_message_id", False)
        listing = await worker("dead-letters", "list")
        assert re.search(
            rf"^{letter['id']} \(assigned\) +RegisterReader +missing_message_id ", listing.output, re.MULTILINE
        )
        left = await worker("dead-letters", "replay", letter["id"])
        assert left.status == 1
        assert left.output.startswith("1 dead letter is left: published without an id, ")
        assert await client.ready(DEAD) == 1
        assert (await worker("dead-letters", "replay", letter["id"], "--assign-id")).status == 0

        async def is_answered() -> bool:
            return (await worker("status", letter["id"])).status == 0

        await eventually(is_answered, what="the answer")
    assert await client.ready(DEAD) == 0


async def test_a_letter_whose_receipt_may_be_gone_is_not_replayed_unasked(
    worker: Worker, serving: Serving, database: Database, client: AmqpClient
) -> None:
    """It was answered and its receipt is pruned: a copy among the dead letters would be decided once more."""
    identity = str(uuid4())
    lend = ("publish", "RegisterReader", ADA.decode(), "--id", identity, "--wait")
    async with serving(worker):
        assert (await worker(*lend)).status == 0
    await execute(database.admin_url, "UPDATE eventstore.receipts SET recorded_at = now() - interval '100 days'")
    sent = datetime.now(UTC) - 101 * DAY
    await put_dead_letter(client, message_id=identity, timestamp=sent)
    young = await put_dead_letter(client, b'{"ReaderID": "bob", "Name": "Bob"}', timestamp=datetime.now(UTC) - DAY)
    replay = ("dead-letters", "replay", "--all", "--yes")
    assert (await worker(*replay, "--dry-run", "--json")).document()["left"] == {}
    assert (await worker("db", "prune", "--older-than", "90d", "--yes", "--json")).document()["deleted"] == 1

    left = await worker(*replay)
    assert left.status == 1
    assert re.match(r"1 dead letter is left: first published before \d{4}-\d\d-\d\d \d\d:\d\d UTC, ", left.output)
    assert left.output.endswith("pass --even-if-forgotten.\n1 dead letter was replayed.\n")
    assert listed(await worker("dead-letters", "list", "--json")) == [identity]
    assert (await client.take(WORK)).message_id == young
    asked_for = await worker("dead-letters", "replay", identity, "--even-if-forgotten", "--json")
    assert asked_for.document() == {"matching": 1, "replayed": 1, "left": {}, "dry_run": False}
    assert (await client.take(WORK)).message_id == identity


async def test_without_a_worker_that_made_the_work_queue_a_replay_says_so(worker: Worker, client: AmqpClient) -> None:
    put = await put_dead_letters(client, 3)
    await client.delete(WORK)
    failed = await worker("dead-letters", "replay", "--all", "--yes")
    assert (failed.status, failed.output) == (2, "")
    assert failed.complaint == (
        "worker: no queue takes messages for library.commands; nothing was stored; start a worker for this domain "
        "first, with `worker run`.\n0 of 3 dead letters were replayed before; run it again to continue with the rest.\n"
    )
    assert listed(await worker("dead-letters", "list", "--json")) == put


async def test_a_replay_that_is_interrupted_says_how_far_it_came(worker: Worker, client: AmqpClient) -> None:
    total = 40
    put = await put_dead_letters(client, total)

    async def some_were_sent() -> bool:
        return await client.ready(WORK) >= 3

    async with worker.started("dead-letters", "replay", "--all", "--yes", "--rate", "5") as replaying:
        await eventually(some_were_sent, what="the first letters to be replayed")
        replaying.send_signal(signal.SIGINT)
        interrupted = await ended(replaying)
    assert interrupted.status == 130
    told = re.search(
        r"^(\d+) of 40 dead letters were replayed before; run it again to continue with the rest\.$",
        interrupted.complaint,
        re.MULTILINE,
    )
    assert told is not None, interrupted
    left = total - int(told[1])
    await client.holds(DEAD, left)
    sent = await client.ready(WORK)
    # A copy whose letter could not be removed any more is there twice, and is not told.
    assert sent >= 3
    assert sent - 1 <= int(told[1]) <= sent
    assert listed(await worker("dead-letters", "list", "--json")) == put[-left:]


async def test_a_replay_whose_connection_breaks_says_how_far_it_came_and_goes_on_when_it_is_run_again(
    worker: Worker, management: Management, vhost: str, client: AmqpClient
) -> None:
    total = 40
    put = await put_dead_letters(client, total)

    async def some_were_sent() -> bool:
        return await client.ready(WORK) >= 3

    async with worker.started("dead-letters", "replay", "--all", "--yes", "--rate", "4") as replaying:
        await eventually(some_were_sent, what="the first letters to be replayed")
        await close_connections(management, vhost, "worker dead-letters library")
        broken = await ended(replaying)
    assert (broken.status, broken.output) == (2, "")
    first, second = broken.complaint.splitlines()
    # While a letter was looked for, or while one was sent.
    assert re.match(r"worker: the connection broke(, |; the letter is still in its queue; )", first)
    assert first.endswith("; start RabbitMQ or correct AMQP_URL.")
    assert re.fullmatch(
        r"\d+ of 40 dead letters were replayed before; run it again to continue with the rest\.", second
    )

    async def is_back() -> bool:
        return await client.ready(DEAD) + await client.ready(WORK) >= total

    await eventually(is_back, what="the broker to put back what was held")
    left = await client.ready(DEAD)
    assert 0 < left < total
    again = await worker("dead-letters", "replay", "--all", "--yes", "--json")
    assert again.document() == {"matching": left, "replayed": left, "left": {}, "dry_run": False}
    sent = {(await client.take(WORK)).message_id for _ in range(await client.ready(WORK))}
    assert sent == set(put)


async def test_the_letters_of_several_domains_are_told_apart_and_go_to_their_own_queues(
    worker: Worker, vhost: str, client: AmqpClient
) -> None:
    await make_queues(vhost)
    both = worker.having(WORKER_DOMAINS="handlers.library:domain,tests.support.domains.tally:domain")
    reader = await put_dead_letter(client)
    tally = await client.put(b"{}", exchange="", routing_key=QUEUES.dead_queue, headers=failure_headers())
    listing = await both("dead-letters", "list")
    assert re.search(rf"^{reader} +library +RegisterReader ", listing.output, re.MULTILINE)
    assert re.search(rf"^{tally} +tally +Count ", listing.output, re.MULTILINE)
    assert listed(await both("dead-letters", "list", "--domain", "tally", "--json")) == [tally]
    every = await both("dead-letters", "replay", "--all", "--yes")
    assert (every.status, every.output) == (0, "2 dead letters were replayed.\n")
    assert (await client.take(WORK)).message_id == reader
    assert (await client.take(QUEUES.queue)).message_id == tally
