"""Subscriptions that go on through broken connections and restarts, and end when their history was rewritten."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest

from eventstore import START, Consistency, HistoryDiverged, Position, RecordedEvent, RetryableError, StoreUnavailable
from eventstore.postgres import PostgresEventStore, migrate
from eventstore.postgres.reads.reader import Reader
from eventstore.postgres.reads.subscription import Subscription
from eventstore.stream import Window
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import ANY, appends, counted, keys, of
from tests.support.fixtures.failover import PrimaryAndStandby
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import proxy

FOLLOW_SECONDS = 0.01


class Follower:
    """Collects what a subscription brings."""

    def __init__(self, store: PostgresEventStore, **options: Any) -> None:
        self.seen: list[RecordedEvent] = []
        self.task = asyncio.create_task(self._follow(store.subscribe(ANY, **options)))

    async def _follow(self, events: AsyncIterator[RecordedEvent]) -> None:
        async with aclosing(cast("AsyncGenerator[RecordedEvent, None]", events)):
            async for event in events:
                self.seen.append(event)

    @property
    def numbers(self) -> list[int]:
        return [event.sequence_number for event in self.seen]

    async def until(self, last: int) -> None:
        """Wait until this event has arrived; none may be missing or repeated by then."""
        await eventually(partial(self._has, last), what=f"event {last}")
        assert self.numbers == list(range(1, last + 1))

    async def _has(self, last: int) -> bool:
        if self.task.done():
            self.task.result()
        return bool(self.seen) and self.seen[-1].sequence_number >= last


@asynccontextmanager
async def follower(store: PostgresEventStore, **options: Any) -> AsyncIterator[Follower]:
    """A follower that ends with the context."""
    made = Follower(store, **options)
    try:
        yield made
    finally:
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
async def test_connections_that_break_skip_nothing_and_repeat_nothing(replicated: Replicated, batch_size: int) -> None:
    async with (
        proxy(replicated.url) as way,
        proxy(replicated.replica_urls[0]) as side,
        PostgresEventStore.connect(replicated.url) as writer,
        PostgresEventStore.connect(way.url, replica_urls=[side.url], follow_seconds=FOLLOW_SECONDS) as store,
        follower(store, batch_size=batch_size, consistency=Consistency.STRONG) as strong,
        follower(store, batch_size=batch_size) as eventual,
    ):
        for round_number in range(1, 11):
            for road in (way, side):
                if round_number % 2:
                    road.lose_answers(2)  # of a look at the head, or of a batch of events
                else:
                    road.cut()
            await writer.append([counted("a"), counted("b"), counted("c")])
            for each in (strong, eventual):
                await each.until(3 * round_number)
        assert min(way.cuts, side.cuts) > 5  # the five of this test, and answers that were lost
        assert strong.seen == eventual.seen


async def test_servers_that_stop_and_start_again_skip_nothing_and_repeat_nothing(replicated: Replicated) -> None:
    standby, primary = replicated.replicas[0], replicated.primary
    async with (
        PostgresEventStore.connect(
            replicated.url, replica_urls=replicated.replica_urls[:1], follow_seconds=FOLLOW_SECONDS
        ) as store,
        follower(store, consistency=Consistency.STRONG) as strong,
        follower(store) as eventual,
    ):
        both = (strong, eventual)
        last = 0
        for server in (standby, primary):
            for end in (server.stop, server.kill):
                await store.append([counted("before")])
                last += 1
                for each in both:
                    await each.until(last)
                await asyncio.to_thread(end)
                if server is standby:
                    # The primary brings on what the standby cannot.
                    await store.append([counted("meanwhile")])
                    last += 1
                    for each in both:
                        await each.until(last)
                else:
                    with pytest.raises(StoreUnavailable):
                        await store.query(ANY)
                await asyncio.to_thread(server.start)
        await store.append([counted("after")])
        for each in both:
            await each.until(last + 1)


async def test_a_replica_that_has_not_come_as_far_is_waited_for(replicated: Replicated) -> None:
    async with PostgresEventStore.connect(
        replicated.url, replica_urls=replicated.replica_urls[:1], follow_seconds=FOLLOW_SECONDS
    ) as store:
        await store.append([counted("a")])
        await replicated.follow()
        async with replicated.paused(replicated.replicas[0]):
            position = (await store.append([counted("a")])).position
            await store.append([counted("a")])
            async with follower(store, after=position) as late, follower(store) as early:
                await early.until(1)
                assert late.seen == []
                await store.append([counted("a")])
                async with follower(store, after=position, consistency=Consistency.STRONG) as strong:
                    await eventually(partial(strong._has, 4), what="the event that the primary has")
                assert (late.seen, early.numbers) == ([], [1])
        async with follower(store, after=position) as late:
            await eventually(partial(late._has, 4), what="the events that the replica has by now")
            assert late.numbers == [3, 4]


async def test_a_history_that_was_rewritten_ends_those_who_saw_it_and_nobody_else(
    primary_and_standby: PrimaryAndStandby,
) -> None:
    primary, standby = primary_and_standby
    await migrate(primary.url(primary.admin))
    one, other = primary.url(primary.worker), standby.url(standby.worker)
    both = one.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{standby.port}/")
    async with PostgresEventStore.connect(both, replica_urls=[other], follow_seconds=FOLLOW_SECONDS) as store:
        kept = (await store.append([counted("kept")])).position
        async with follower(store) as behind, follower(store, consistency=Consistency.STRONG) as ahead:
            await behind.until(1)
            # The primary may have brought it, in place of a standby that had not come as far.
            await eventually(partial(_replica_has, store, 1), what="the standby to have the first event")
            await asyncio.to_thread(standby.stop)
            behind.task.cancel()
            lost = (await store.append([counted("lost")])).position
            await ahead.until(2)
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.start)
            await asyncio.to_thread(standby.promote)
            await eventually(partial(_is_kept, store), what="the store to find the new primary")
            # The log is shorter than what was seen of it, which might be a lag: what comes will tell.
            assert not ahead.task.done()
            await eventually(partial(appends, store, "new"), what="the new primary to take events")
            with pytest.raises(HistoryDiverged):
                await asyncio.wait_for(ahead.task, 60)
            assert [event.payload["Key"] for event in ahead.seen] == ["kept", "lost"]
            for consistency in Consistency:
                with pytest.raises(HistoryDiverged):
                    await anext(store.subscribe(ANY, after=lost, consistency=consistency))
                resumed = await anext(store.subscribe(ANY, after=kept, consistency=consistency))
                assert (resumed.sequence_number, resumed.payload["Key"]) == (2, "new")
            # A subscription whose filter matched none of it has seen the lost history all the same.
            with pytest.raises(HistoryDiverged):
                await anext(store.subscribe(of("other"), after=lost))


async def _replica_has(store: PostgresEventStore, head: int) -> bool:
    stream = await store.query(ANY, consistency=Consistency.EVENTUAL)
    return stream.replica and stream.position.number == head


async def _is_kept(store: PostgresEventStore) -> bool:
    try:
        return keys(await store.query(ANY)) == ["kept"]
    except RetryableError:
        return False


class Reading:
    """Answers as it is told to, each time once."""

    def __init__(self, answers: Sequence[Position | Exception]) -> None:
        self._answers = list(answers)

    async def head(self, **_options: Any) -> Position:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def window(self, *_boundary: Any, **options: Any) -> Window:
        number = options["reach"]
        event = counted("a").recorded(number, number)
        return Window(events=(event,), position=event.position, head=event.position)


async def test_waits_after_failures_grow_up_to_a_bound_and_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    longest: list[float] = []

    def shortest(low: float, high: float) -> float:
        longest.append(high)
        return low

    monkeypatch.setattr("random.uniform", shortest)
    down = StoreUnavailable("down")
    answers: list[Position | Exception] = [
        *[down] * 8,
        Position(number=1, token=1),
        down,
        Position(number=2, token=2),
        ValueError("unknown"),
    ]
    events = Subscription(
        reader=cast("Reader", Reading(answers)),
        boundary=ANY,
        batch_size=10,
        consistency=Consistency.STRONG,
        follow_seconds=0.0,
        above=0,
        seen=START,
    ).events()
    assert [(await anext(events)).sequence_number for _ in range(2)] == [1, 2]
    assert longest == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.1]
    with pytest.raises(ValueError, match="unknown"):
        await anext(events)
