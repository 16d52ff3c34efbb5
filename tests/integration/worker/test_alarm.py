"""A broker that is short of memory takes no messages. What it has given out is settled all the same."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest

from eventstore import InvalidRequest
from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.brokers import RabbitInTurn
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, Hold, received, serving, settled, settlers
from worker.amqp.declaration import declare
from worker.counters import End
from worker.errors import BrokerBusy, BrokerUnavailable
from worker.publisher import Publisher

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
