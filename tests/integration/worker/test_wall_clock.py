"""A wall clock that is set by an hour while a worker runs: deadlines, delays and ages mean the time that passes."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from eventstore import EventStream, TransientStoreError
from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.clocks import WallClock
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, Hold, serving, settled
from worker.counters import End
from worker.publisher import Publisher

HOUR = timedelta(hours=1)
either_way = pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["forward", "back"])


class Failing:
    """Replaces a store's ``query_many``: every read fails until it is mended.

    Attributes:
        failures: How many reads have failed.
    """

    def __init__(self, query: Callable[..., Any]) -> None:
        self._query = query
        self._is_mended = False
        self.failures = 0

    async def __call__(self, *arguments: Any, **options: Any) -> list[EventStream]:
        if self._is_mended:
            found: list[EventStream] = await self._query(*arguments, **options)
            return found
        self.failures += 1
        raise TransientStoreError("not now")

    def mend(self) -> None:
        """Have every later read answered."""
        self._is_mended = True

    async def fails(self, more: int) -> None:
        """Wait until so many more reads have failed."""
        before = self.failures

        async def has_failed() -> bool:
            return self.failures >= before + more

        await eventually(has_failed, what=f"{more} reads to fail")


@either_way
async def test_commands_that_are_retried_are_answered_in_the_end(
    store: PostgresEventStore, vhost: str, publisher: Publisher, wall_clock: WallClock, by: timedelta
) -> None:
    failing = Failing(store.query_many)
    store.query_many = failing  # type: ignore[method-assign]  # the store is this test's
    async with serving(store, vhost) as service:
        asking = [asyncio.create_task(publisher.request("tally", "Count", {"Key": str(n)})) for n in range(3)]
        await failing.fails(6)
        wall_clock.ahead = by
        await failing.fails(6)
        wall_clock.ahead = timedelta()
        await failing.fails(6)
        failing.mend()
        replies = await asyncio.gather(*asking)
        assert {(reply.outcome, reply.duplicate) for reply in replies} == {("accepted", False)}

        async def are_settled() -> bool:
            return service.counters.ends[End.ACCEPTED] == len(asking)

        await eventually(are_settled, what="all to be accepted")
    assert set(service.counters.ends) == {End.RETRIED, End.ACCEPTED}


async def test_a_command_that_always_fails_is_a_dead_letter_after_the_maximum_age_also_if_the_clock_is_set_back(
    store: PostgresEventStore, vhost: str, client: AmqpClient, wall_clock: WallClock
) -> None:
    failing = Failing(store.query_many)
    store.query_many = failing  # type: ignore[method-assign]  # the store is this test's
    async with serving(store, vhost, worker_max_age=1.0):
        command_id = await client.put(b'{"Key": "a"}')
        await failing.fails(2)
        wall_clock.ahead = -HOUR
        letter = await client.take(QUEUES.dead_queue)
    assert (letter.message_id, letter.headers["worker-reason"]) == (command_id, "store_transient")


@either_way
async def test_no_deadline_passes_or_is_put_off(
    store: PostgresEventStore, vhost: str, publisher: Publisher, wall_clock: WallClock, by: timedelta
) -> None:
    hold = Hold(store.query_many)
    store.query_many = hold  # type: ignore[method-assign]  # the store is this test's
    async with serving(store, vhost, worker_handler_timeout=60.0) as service:
        asking = asyncio.create_task(publisher.request("tally", "Count", {"Key": "a"}, timeout=60))
        await hold.holds(1)
        wall_clock.ahead = by
        # Its own read waits as well, after the clock was set.
        other = asyncio.create_task(publisher.request("tally", "Count", {"Key": "b"}, timeout=60))
        hold.release()
        assert [(await each).outcome for each in (asking, other)] == ["accepted", "accepted"]
        await settled(service, 2)
        assert service.health().ready
    assert service.counters.ends == {End.ACCEPTED: 2}
