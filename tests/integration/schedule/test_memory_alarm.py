"""A broker that is short of memory: what is due waits, says so, and is sent once."""

import asyncio
from datetime import timedelta

import pytest

from tests.integration.schedule.scheduling import TALLY, scheduling, waits
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.brokers import RabbitInTurn
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from worker.amqp.connection import Link
from worker.errors import BrokerUnavailable
from worker.publisher import Publisher
from worker.schedule import sending

_COMMANDS = 20


async def test_what_is_due_during_an_alarm_is_sent_once_when_it_is_over(
    breakable_broker: RabbitInTurn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(sending, "_LONGEST_REST", 0.1)

    async def use_memory(share: str) -> None:
        await asyncio.to_thread(breakable_broker.use_memory, share)

    looks, diagnosis = 0, Link.diagnosis

    async def looked(link: Link) -> BrokerUnavailable:
        nonlocal looks
        looks += 1
        return await diagnosis(link)

    async with (
        AmqpClient.open(breakable_broker.url) as client,
        Publisher.connect(breakable_broker.url) as publisher,
        scheduling(database.url, breakable_broker.url) as service,
    ):
        at = timedelta(seconds=3)
        ids = [await publisher.schedule("tally", "Count", {"Key": "a"}, at) for _ in range(_COMMANDS)]
        await waits(database.admin_url, _COMMANDS)
        assert await client.ready(TALLY.queue) == 0
        await use_memory("0.0000001")

        async def is_told() -> bool:
            return "short of memory or disk" in service.health().reason

        await eventually(is_told, what="the schedule to say that it waits")
        monkeypatch.setattr(Link, "diagnosis", looked)

        async def is_told_again() -> bool:
            return looks >= 2 * _COMMANDS

        await eventually(is_told_again, what="the schedule to wait on")
        assert not service.health().ready
        await use_memory("0.9")
        await waits(database.admin_url, 0)

        async def goes_on() -> bool:
            return service.health().reason == "scheduling 1"

        await eventually(goes_on, what="the schedule to go on")
        # What was sent again was written before that, on the same connection.
        taken = [str((await client.take(TALLY.queue)).message_id) for _ in range(await client.ready(TALLY.queue))]
    assert sorted(taken) == sorted(map(str, ids))
