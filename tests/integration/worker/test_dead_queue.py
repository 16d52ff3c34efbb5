"""Looking at dead letters: however often, however many, nothing is removed, and their order and contents stay."""

import asyncio
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.amqp_client import AmqpClient
from tests.support.dead_letters import GOOD, emptied, failure_headers, letters, make_queues, opened, put_dead_letters
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES
from tests.support.tcp_proxy import proxy
from worker.amqp.dead_queue import DeadQueue
from worker.cli.dead_letters.scan import Choice, scan
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.replay import look
from worker.dead_letters.selection import Selection
from worker.errors import BrokerUnavailable
from worker.failures import Mistake
from worker.topology import Topology

DEAD = QUEUES.dead_queue
# The broker's default for quorum queues on RabbitMQ 4, and our own for work queues.
LIMITS = (20, 50)


@pytest.fixture(autouse=True)
async def _queues(vhost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A walk ends when the broker counts what was returned, however slow it is just now.
    monkeypatch.setattr("worker.amqp.queue_browser._RETURN_SECONDS", 60.0)
    await make_queues(vhost)


def ids(found: list[Any]) -> list[str]:
    return [each.message_id for each in found]


async def test_looking_more_often_than_any_limit_loses_nothing(vhost: str, client: AmqpClient) -> None:
    put = await put_dead_letters(client, 3, headers=failure_headers(shop="kept"), reply_to="there")
    for _ in range(sum(LIMITS)):
        assert ids(await letters(vhost)) == put
    assert await client.ready(DEAD) == 3
    taken = await emptied(client, DEAD, 3)
    assert ids(taken) == put
    for each in taken:
        assert (each.body, each.reply_to, each.headers["shop"]) == (GOOD, "there", "kept")
        # The broker has counted every look, or it has no reason to (RabbitMQ from 4.3 on).
        assert each.headers.get("x-delivery-count", 0) in {0, sum(LIMITS)}


async def test_many_letters_in_many_chunks_keep_their_order(
    vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many chunks, and as many groups on their way back, as a hundred thousand letters make.
    monkeypatch.setattr("worker.amqp.queue_browser._FIRST_WIDTH", 40)
    monkeypatch.setattr("worker.amqp.queue_browser._MOST_WIDTH", 40)
    monkeypatch.setattr("worker.amqp.queue_browser._GROUP", 10)
    put = await put_dead_letters(client, 2000)
    for _ in range(3):
        assert ids(await letters(vhost)) == put
        assert await client.ready(DEAD) == 2000


async def test_looking_takes_a_bounded_memory_however_much_there_is(vhost: str, client: AmqpClient) -> None:
    size, count = 200_000, 600
    await put_dead_letters(client, count, body=b"b" * size)
    passed: list[int] = []
    tracemalloc.start()
    try:
        async with opened(vhost) as queue:
            await look(queue, count, lambda letter: passed.append(letter.size), progress=lambda: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert passed == [size] * count
    # Two chunks, one of which is on its way; not the 120 MB of them all.
    assert peak < 40_000_000, peak


async def test_a_walk_that_ends_early_gives_everything_back(vhost: str, client: AmqpClient) -> None:
    put = await put_dead_letters(client, 200)
    async with opened(vhost) as queue:
        async with queue.walk(200) as walk:
            first = await anext(walk)
            assert first.properties.message_id == put[0]
            assert await queue.count() == 150
        assert await queue.count() == 200
    assert ids(await letters(vhost)) == put


async def test_whatever_goes_wrong_with_a_letter_all_are_given_back(vhost: str, client: AmqpClient) -> None:
    put = await put_dead_letters(client, 100)

    def fail(_: DeadLetter) -> None:
        raise ZeroDivisionError

    async with opened(vhost) as queue:
        with pytest.raises(ZeroDivisionError):
            await look(queue, 100, fail, progress=lambda: None)
        assert await queue.count() == 100
    assert ids(await letters(vhost)) == put


async def test_a_walk_that_is_cancelled_gives_everything_back(vhost: str, client: AmqpClient) -> None:
    put = await put_dead_letters(client, 100)
    holding = asyncio.Event()

    async def hold() -> None:
        async with opened(vhost) as queue, queue.walk(100) as walk:
            await anext(walk)
            holding.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await holding.wait()
    assert await client.ready(DEAD) < 100
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await client.ready(DEAD) == 100
    assert ids(await letters(vhost)) == put


async def test_a_walk_sees_no_more_than_it_was_bound_to(vhost: str, client: AmqpClient) -> None:
    put = await put_dead_letters(client, 60)
    async with opened(vhost) as queue, queue.walk(7) as walk:
        assert [held.properties.message_id async for held in walk] == put[:7]


async def test_a_walk_ends_where_fewer_are_left_than_were_counted(
    vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.amqp.queue_browser._PATIENCE", 0.01)
    put = await put_dead_letters(client, 3)
    async with opened(vhost) as queue, queue.walk(1000) as walk:
        assert [held.properties.message_id async for held in walk] == put


async def test_letters_that_are_long_on_their_way_are_waited_for(
    vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.amqp.queue_browser._PATIENCE", 0.05)
    put = await put_dead_letters(client, 3, body=b"b" * 200_000)

    async def walked(queue: DeadQueue) -> list[str | None]:
        async with queue.walk(3) as walk:
            return [held.properties.message_id async for held in walk]

    async with proxy(vhost) as way, opened(way.url) as queue:
        # Before the first letter is through.
        way.hold_answers(after=20_000)
        walking = asyncio.create_task(walked(queue))
        await way.holding()
        before = way.asked

        async def is_asked() -> bool:
            return way.asked > before

        # All three are handed out, so that none is ready.
        await eventually(is_asked, what="the broker to be asked how many are left")
        assert await client.ready(DEAD) == 0
        way.go_on()
        assert await walking == put


async def test_letters_that_somebody_else_takes_meanwhile_are_told_apart_from_those_that_are_not_there(
    vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.amqp.queue_browser._PATIENCE", 0.01)
    first, second, third = await put_dead_letters(client, 3)
    genuine = DeadQueue.count

    async def count(queue: DeadQueue) -> int | None:
        counted = await genuine(queue)
        assert (await client.take(DEAD)).message_id == first
        return counted

    monkeypatch.setattr(DeadQueue, "count", count)
    selection = Selection(ids=frozenset({first}))
    choice = Choice(amqp_url=vhost, topologies=(QUEUES,), selection=selection, asked_at=datetime.now(UTC))
    found = await scan(choice, progress=lambda: None)
    assert (found.total, found.seen, found.unseen, found.meant) == (3, 2, 1, 0)
    with pytest.raises(Mistake, match=f"{first} is not among .* 1 of 3 could not be read: another consumer"):
        found.check_ids([first])
    assert [each.message_id for each in await emptied(client, DEAD, 2)] == [second, third]


async def test_only_what_is_acknowledged_is_gone_wherever_it_lies(
    vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.amqp.queue_browser._FIRST_WIDTH", 10)
    monkeypatch.setattr("worker.amqp.queue_browser._MOST_WIDTH", 10)
    put = await put_dead_letters(client, 100)
    gone = {0, 9, 10, 50, 51, 52, 99}
    async with opened(vhost) as queue, queue.walk(100) as walk:
        for place in range(100):
            held = await anext(walk)
            if place in gone:
                await held.acknowledge()
    kept = [each for place, each in enumerate(put) if place not in gone]
    assert await client.ready(DEAD) == len(kept)
    assert ids(await letters(vhost)) == kept


async def test_a_queue_that_is_deleted_under_a_walk_is_told(vhost: str, client: AmqpClient) -> None:
    await put_dead_letters(client, 1)
    async with opened(vhost) as queue, queue.walk(2) as walk:
        await anext(walk)
        await client.delete(DEAD)
        with pytest.raises(BrokerUnavailable, match=r"or tally\.commands\.dead was deleted"):
            await anext(walk)


async def test_a_queue_that_is_not_there_has_no_count(vhost: str) -> None:
    async with DeadQueue.open(vhost, Topology("nobody")) as queue:
        assert await queue.count() is None
    async with opened(vhost) as queue:
        assert await queue.count() == 0
