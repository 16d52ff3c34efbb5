"""A broker that is short of memory takes no messages. What it has given out is settled all the same."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest

from eventstore import InvalidRequest
from eventstore.postgres import PostgresEventStore
from tests.integration.worker.test_drain import answered
from tests.support.amqp_client import AmqpClient
from tests.support.dead_letters import letters
from tests.support.fixtures.brokers import RabbitInTurn
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, Hold, received, serving, settled, settlers
from tests.support.worker_process import WorkerProcess
from worker.amqp import upkeep
from worker.amqp.declaration import declare
from worker.amqp.sender import Sender
from worker.counters import End
from worker.errors import BrokerBusy, BrokerUnavailable
from worker.publisher import Publisher
from worker.topology import Topology

COMMANDS, ASKING = 20, 2


@pytest.fixture
async def own_desk(breakable_broker: RabbitInTurn) -> AsyncIterator[AmqpClient]:
    async with AmqpClient.open(breakable_broker.url) as client:
        await declare(client.channel, QUEUES)
        yield client


async def alarm(broker: RabbitInTurn, *, is_on: bool) -> None:
    """Let the broker find that it uses too much memory, or enough of it is left."""
    await asyncio.to_thread(broker.use_memory, "0.0000001" if is_on else "0.9")


async def test_what_is_put_aside_during_an_alarm_is_stored_once(
    breakable_broker: RabbitInTurn,
    own_desk: AmqpClient,
    store: PostgresEventStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="worker")
    deciding = asyncio.Event()

    async def refuse(*_: object, **__: object) -> NoReturn:
        await deciding.wait()
        raise InvalidRequest("not of this store")

    monkeypatch.setattr(store, "query_many", refuse)
    bad = await own_desk.put(b'{"Key": "a"}')

    async def waits() -> bool:
        return sum(f"not stored in {QUEUES.dead_queue} yet" in message for message in caplog.messages) >= 5

    async with serving(store, breakable_broker.url) as service:
        (settler,) = settlers(service)
        settler._handover._patience = 0.2
        await received(service, 1)
        await alarm(breakable_broker, is_on=True)
        deciding.set()
        # Five times as long as anybody waits before it is told.
        await eventually(waits, what="the copy to wait for the broker")
        assert service.counters.ends.total() == 0
        assert any("short of memory or disk" in message for message in caplog.messages)
        await alarm(breakable_broker, is_on=False)
        await settled(service, 1)
        # Whatever was sent before the confirmation came is in the queue by now.
        assert await own_desk.ready(QUEUES.dead_queue) == 1
        assert (await own_desk.take(QUEUES.dead_queue)).message_id == bad
    assert service.counters.ends == {End.DEAD_LETTERED: 1}


async def test_a_check_of_what_is_declared_waits_for_the_end_of_an_alarm_and_gives_up_no_copy(
    breakable_broker: RabbitInTurn,
    own_desk: AmqpClient,
    store: PostgresEventStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It shares the connection of copies: given up, it would lose it, and the copy would be stored twice."""
    monkeypatch.setattr(upkeep, "_LONGEST_REST", 0.02)
    caplog.set_level(logging.DEBUG, logger="worker")
    deciding = asyncio.Event()

    async def refuse(*_: object, **__: object) -> NoReturn:
        await deciding.wait()
        raise InvalidRequest("not of this store")

    monkeypatch.setattr(store, "query_many", refuse)
    bad = await own_desk.put(b'{"Key": "a"}')
    checks, declare_missing = [0, 0], Sender.declare

    async def counted(sender: Sender, topology: Topology, timeout: float | None = 5.0) -> tuple[str, ...]:  # noqa: ASYNC109  the sender's
        checks[0] += 1
        try:
            return await declare_missing(sender, topology, timeout)
        finally:
            checks[1] += 1

    monkeypatch.setattr(Sender, "declare", counted)

    async def told(times: int) -> None:
        async def is_told() -> bool:
            return sum(f"not stored in {QUEUES.dead_queue} yet" in message for message in caplog.messages) >= times

        await eventually(is_told, what="the copy to wait for the broker")

    async with serving(store, breakable_broker.url) as service:
        (settler,) = settlers(service)
        settler._handover._patience = 0.2
        await received(service, 1)
        await alarm(breakable_broker, is_on=True)
        deciding.set()
        await told(5)
        begun = checks[0]
        # Longer than a declaration takes by default.
        await told(35)
        assert checks == [begun, begun - 1]
        await own_desk.channel.exchange_delete(QUEUES.exchange)
        before = service._sender._link._wire
        await alarm(breakable_broker, is_on=False)
        await settled(service, 1)

        async def goes_on() -> bool:
            return checks[1] > begun and any("declared again" in message for message in caplog.messages)

        await eventually(goes_on, what="the next check to declare what is missing")
        assert service._sender._link._wire is before
        assert [each.message_id for each in await letters(breakable_broker.url)] == [bad]
    assert service.counters.ends == {End.DEAD_LETTERED: 1}


async def test_a_queue_that_is_made_again_during_an_alarm_doubles_no_other_copy(
    breakable_broker: RabbitInTurn,
    own_desk: AmqpClient,
    store: PostgresEventStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="worker")
    hold, declaring, declare_missing = Hold(store.query_many), asyncio.Event(), Sender.declare
    monkeypatch.setattr(store, "query_many", hold)

    async def during_an_alarm(sender: Sender, topology: Topology, timeout: float | None = 5.0) -> tuple[str, ...]:  # noqa: ASYNC109  the sender's
        if not declaring.is_set():
            await alarm(breakable_broker, is_on=True)
            hold.release()
            await eventually(both_wait, what="both copies to wait")
            declaring.set()
        return await declare_missing(sender, topology, timeout)

    async def both_wait() -> bool:
        return len(settler._handover._waiting) == 2

    async def waits() -> bool:
        return sum(f"not stored in {QUEUES.retry_queue} yet" in message for message in caplog.messages) >= 50

    await own_desk.delete(QUEUES.dead_queue)
    exploding = await own_desk.put(b'{"Key": "a"}', message_type="Explode")
    async with serving(store, breakable_broker.url, worker_retry_delay=1) as service:
        (settler,) = settlers(service)
        settler._handover._patience = 0.2
        await own_desk.delete(QUEUES.dead_queue)
        await hold.holds(1)
        monkeypatch.setattr(Sender, "declare", during_an_alarm)
        unknown = await own_desk.put(b'{"Key": "a"}', message_type="Unknown")
        async with asyncio.timeout(60):
            await declaring.wait()
        await eventually(waits, what="the retry to wait for the broker")
        # Nothing was given up: that may lose the connection, and all that waits there would be stored twice.
        assert not [message for message in caplog.messages if message.startswith("cannot forward")]
        await alarm(breakable_broker, is_on=False)
        await settled(service, 4)
        assert sorted(str(each.message_id) for each in await letters(breakable_broker.url)) == sorted(
            (exploding, unknown)
        )
        assert await own_desk.ready(QUEUES.queue) == await own_desk.ready(QUEUES.retry_queue) == 0
    assert service.counters.ends == {End.RETRIED: 2, End.DEAD_LETTERED: 2}


@pytest.mark.parametrize("is_over", [True, False], ids=["over-in-time", "not-over-in-time"])
async def test_a_worker_that_is_told_to_stop_during_an_alarm_loses_nothing(
    breakable_broker: RabbitInTurn,
    own_desk: AmqpClient,
    store: PostgresEventStore,
    database: Database,
    *,
    is_over: bool,
) -> None:
    ids = [await own_desk.put(b'{"Key": "k%d"}' % n, reply_to=own_desk.replies) for n in range(ASKING)]
    bad = [await own_desk.put(b'{"Key": "a"}', message_type="Unknown") for _ in range(ASKING)]
    await alarm(breakable_broker, is_on=True)
    deadline = "60" if is_over else "1"
    variables = {"WORKER_REPLY_TIMEOUT": "60", "WORKER_DRAIN_DEADLINE": deadline}
    async with WorkerProcess.running(database.url, breakable_broker.url, **variables) as worker:

        async def are_recorded() -> bool:
            return len([receipt async for receipt in store.all_receipts()]) == ASKING

        await eventually(are_recorded, what="the answers to be on record")
        worker.signal()
        await worker.logged("draining")
        if is_over:
            await alarm(breakable_broker, is_on=False)
        async with asyncio.timeout(60):
            assert await worker.status() == (0 if is_over else 1)
        report = worker.report()
    if is_over:
        assert (report["accepted"], report["dead_lettered"], report["failed_replies"]) == (ASKING, ASKING, 0)
        assert sorted(await own_desk.answers(ASKING)) == sorted(ids)
    else:
        await alarm(breakable_broker, is_on=False)
        async with serving(store, breakable_broker.url) as service:
            assert sorted(await own_desk.answers(ASKING)) == sorted(ids)
            await own_desk.holds(QUEUES.queue, 0)
        assert service.counters.report()["accepted"] == 0
    found = [str(each.message_id) for each in await letters(breakable_broker.url)]
    # A copy that was written to the connection may be stored after the worker has ended, and its command comes back.
    assert set(found) == set(bad)
    assert is_over is False or len(found) == ASKING
    assert await answered(store) == set(ids)


async def test_publishers_are_told_and_deliveries_are_acknowledged(
    breakable_broker: RabbitInTurn, own_desk: AmqpClient, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = Hold(store.query_many)
    monkeypatch.setattr(store, "query_many", hold)
    for n in range(COMMANDS):
        await own_desk.put(b'{"Key": "k%d"}' % n, reply_to=own_desk.replies if n < ASKING else None)
    async with (
        Publisher.connect(breakable_broker.url) as publisher,
        serving(store, breakable_broker.url, worker_reply_timeout=0.5) as service,
    ):
        await received(service, 8)
        await alarm(breakable_broker, is_on=True)
        async with asyncio.timeout(20):
            with pytest.raises(BrokerUnavailable, match="takes no messages now: it is short of memory or disk"):
                await publisher.publish("tally", "Count", {"Key": "late"}, timeout=0.5)
            with pytest.raises(BrokerBusy, match=r"not stored within 0.5 s: .* it is short of memory or disk"):
                await publisher.request("tally", "Count", {"Key": "late"}, timeout=0.5)
        hold.release()
        # More than may be unsettled: the broker gives out the last ones for the acknowledgements of the first.
        await settled(service, COMMANDS)
        assert service.counters.ends == {End.ACCEPTED: COMMANDS}
        # Replies are messages, too: they are tried for a while, and given up.
        assert service.counters.failed_replies == ASKING
        await alarm(breakable_broker, is_on=False)
        assert (await publisher.request("tally", "Count", {"Key": "again"})).outcome == "accepted"
