"""The states that a scheduler caches, on a memory store that records its reads and can rewrite its history."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from eventstore import (
    Append,
    Consistency,
    Event,
    EventStream,
    Filter,
    HistoryDiverged,
    MemoryEventStore,
    OutcomeKind,
    Position,
)
from tests.support.domains.tally import domain
from worker.counters import Counters
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings


class WatchedStore(MemoryEventStore):
    """Records the reads, and the number of events returned."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []

    async def query_many(
        self,
        filters: Sequence[Filter],
        *,
        after: Sequence[Position] | None = None,
        known: Sequence[int] = (),
        most: int | None = None,
        consistency: Consistency = Consistency.STRONG,
        min_position: Position | None = None,
    ) -> list[EventStream]:
        streams = await super().query_many(
            filters, after=after, known=known, most=most, consistency=consistency, min_position=min_position
        )
        numbers = [position.number for position in after or ()]
        self.asked += [(number, len(stream.events)) for number, stream in zip(numbers, streams, strict=True)]
        return streams

    def rewrite(self, *events: Event, keeping: int) -> None:
        """Fail over to a standby that has only the first events, and record others there."""
        self._log.events = self._log.events[:keeping]
        self._log.receipts.clear()
        for event in events:
            self._log.events.append(event.recorded(len(self._log.events) + 1, token=99))


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
async def scheduler(store: WatchedStore) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, domain, Settings(), Counters())
    yield scheduler
    await scheduler.close()


def count(kind: str = "Count", *, key: str = "a", **body: Any) -> CommandMessage:
    identity = uuid4()
    return CommandMessage(
        command_id=identity,
        command_type=kind,
        body=json.dumps({"Key": key, **body}).encode(),
        correlation_id="visit",
        causation_id=str(identity),
        headers={},
    )


def counted(key: str = "a") -> Event:
    return Event(type="Counted", payload={"Key": key})


async def test_the_next_command_reads_no_known_events(store: WatchedStore, scheduler: Scheduler) -> None:
    await store.append([counted()] * 2)
    await scheduler.process(count(Limit=3))
    await store.append([counted("b")])
    rejected = await scheduler.process(count(Limit=3))
    assert rejected.receipt.outcome.kind is OutcomeKind.REJECTED
    # The first read both events; its own events are known without reading.
    assert store.asked == [(0, 2)]
    await store.append([Event(type="Forgotten", payload={"Key": "a"})])
    again = await scheduler.process(count(Limit=3))
    assert again.receipt.outcome.kind is OutcomeKind.ACCEPTED
    # It learnt of the other writer's event by the conflict. Only that event is read.
    assert again.attempts == 2
    assert store.asked[1:] == [(5, 1)]


async def test_deciders_share_the_state_of_a_part_that_they_both_read(
    store: WatchedStore, scheduler: Scheduler
) -> None:
    await scheduler.process(count(Limit=2))
    assert (await scheduler.process(count("CountOnce"))).receipt.outcome.kind is OutcomeKind.UNCHANGED
    assert (await scheduler.process(count(Limit=2))).receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert store.asked == [(0, 0)]


async def test_no_state_is_cached_with_a_limit_of_zero(store: WatchedStore) -> None:
    scheduler = Scheduler(store, domain, Settings(worker_cached_states=0), Counters())
    await scheduler.process(count())
    await scheduler.process(count())
    assert store.asked == [(0, 0), (0, 1)]
    assert scheduler.kept_states == 0
    await scheduler.close()


async def test_a_conflict_is_decided_again_from_the_state_that_was_read(
    store: WatchedStore, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.append([counted()])
    genuine = store.append_chain

    async def racing(appends: Sequence[Append]) -> Any:
        monkeypatch.setattr(store, "append_chain", genuine)
        await store.append([counted()])
        return await genuine(appends)

    monkeypatch.setattr(store, "append_chain", racing)
    answer = await scheduler.process(count(Limit=2))
    assert answer.attempts == 2
    assert answer.receipt.outcome.kind is OutcomeKind.REJECTED
    assert store.asked == [(0, 1), (1, 1)]


async def test_a_state_of_a_rewritten_history_is_dropped(store: WatchedStore, scheduler: Scheduler) -> None:
    for _ in range(2):
        await scheduler.process(count(Limit=9))
    store.rewrite(Event(type="Forgotten", payload={"Key": "a"}), counted("b"), keeping=1)
    # By the cached state, with a count of two, it would be rejected. In this history, the count is 0.
    answer = await scheduler.process(count(Limit=2))
    assert answer.receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert answer.attempts == 2
    assert store.asked[-1] == (0, 2)


async def test_a_state_beyond_the_log_is_dropped(store: WatchedStore, scheduler: Scheduler) -> None:
    for _ in range(2):
        await scheduler.process(count(Limit=9))
    store.rewrite(keeping=1)
    # By the cached state, with a count of two, it would be rejected. In this history, the count is 1.
    answer = await scheduler.process(count(Limit=2))
    assert (answer.receipt.outcome.kind, answer.receipt.first) == (OutcomeKind.ACCEPTED, 2)
    assert store.asked[-1] == (0, 1)


async def test_a_repeated_command_changes_no_state(scheduler: Scheduler) -> None:
    message = count(Limit=1)
    await scheduler.process(message)
    repeated = await scheduler.process(message)
    assert repeated.receipt.duplicate
    assert (await scheduler.process(count(Limit=2))).receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert (await scheduler.process(count(Limit=2))).receipt.outcome.kind is OutcomeKind.REJECTED


async def test_a_history_rewritten_between_query_and_append_is_recognised(
    store: WatchedStore, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scheduler.process(count(Limit=9))
    genuine, refused = store.append_chain, list[object]()

    async def failing_over(appends: Sequence[Append]) -> Any:
        monkeypatch.setattr(store, "append_chain", genuine)
        store.rewrite(counted("b"), keeping=0)
        refused.extend(verdicts := await genuine(appends))
        return verdicts

    monkeypatch.setattr(store, "append_chain", failing_over)
    answer = await scheduler.process(count(Limit=1))
    assert [type(error) for error in refused] == [HistoryDiverged]
    assert answer.receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert store.asked[-1] == (0, 0)
