"""A database's clock that is set by an hour while schedules run: each command is sent once, when it is due by it."""

from datetime import timedelta
from functools import partial

import pytest

from tests.integration.schedule.scheduling import TALLY, scheduling, waiting, waits
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.clocks import set_database_clock, settable_database_clock
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from worker.leased_service import LeasedService
from worker.publisher import Publisher
from worker.schedule import sending

HOUR = timedelta(hours=1)
BODY = {"Key": "a"}


@pytest.fixture
async def clocked(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database whose clock can be set."""
    await settable_database_clock(database.admin_url)
    monkeypatch.setattr(sending, "_LOOK_AT_ALL_SECONDS", 1.0)
    return database


async def _works(services: list[LeasedService]) -> None:
    """Wait until one of the processes works."""

    async def one_works() -> bool:
        return [each.health().reason for each in services].count("scheduling 1") == 1

    await eventually(one_works, what="one process to schedule")


async def test_what_waits_is_sent_once_whichever_way_the_clock_is_set(
    clocked: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    set_clock = partial(set_database_clock, clocked.admin_url)
    async with scheduling(clocked.url, vhost) as one, scheduling(clocked.url, vhost) as other:
        await _works([one, other])
        soon = await publisher.schedule("tally", "Count", BODY, HOUR / 2)
        later = await publisher.schedule("tally", "Count", BODY, 2 * HOUR)
        await waits(clocked.admin_url, 2)
        await set_clock(HOUR)
        # The lease seems to have run out: whoever has it by now sends it, and nobody besides.
        assert (await client.take(TALLY.queue)).message_id == str(soon)
        await waits(clocked.admin_url, 1)
        await _works([one, other])
        await set_clock(-HOUR)
        await _works([one, other])
        # By this clock it is due in an hour.
        early = await publisher.schedule("tally", "Count", BODY, timedelta())
        await waits(clocked.admin_url, 2)
        assert await client.ready(TALLY.queue) == 0
        await set_clock(timedelta())
        assert (await client.take(TALLY.queue)).message_id == str(early)
        await waits(clocked.admin_url, 1)
    assert await waiting(clocked.admin_url) == [str(later)]
    assert await client.ready(TALLY.queue) == 0


async def test_another_process_takes_over_after_the_clock_was_set_back(
    clocked: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    async with scheduling(clocked.url, vhost) as other:
        await _works([other])
        async with scheduling(clocked.url, vhost) as one:
            await set_database_clock(clocked.admin_url, -HOUR)
            await _works([one, other])
        await _works([other])
        await set_database_clock(clocked.admin_url, timedelta())
        command_id = await publisher.schedule("tally", "Count", BODY, timedelta())
        assert (await client.take(TALLY.queue)).message_id == str(command_id)
