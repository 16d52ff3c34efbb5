"""Commands that need archived events fail alone; other commands are decided."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from eventstore import Event, HistoryArchived, OutcomeKind
from tests.support.domains.tally import domain
from tests.unit.worker.rounds.gated_store import GatedStore, sent
from tests.unit.worker.staged import command, counted
from worker.counters import Counters
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer

ACCEPTED, REJECTED = OutcomeKind.ACCEPTED, OutcomeKind.REJECTED
# More events than a cached state may be behind without a read.
FAR = 600


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
async def scheduler(store: GatedStore, counters: Counters) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, domain, Settings(), counters)
    yield scheduler
    await scheduler.close()


def filler() -> list[Event]:
    return [Event(type="Filler", payload={})] * FAR


async def outcomes(scheduler: Scheduler, *keys: str) -> list[object]:
    """The outcomes of one command per key, all in one round."""
    answers = await asyncio.gather(
        *[sent(scheduler, command("Count", Key=key, Limit=3)) for key in keys], return_exceptions=True
    )
    return [each.receipt.outcome.kind if isinstance(each, Answer) else type(each) for each in answers]


async def test_a_command_that_needs_archived_events_fails_alone(
    store: GatedStore, scheduler: Scheduler, counters: Counters
) -> None:
    await store.append([counted("old"), counted("older"), *filler()])
    await store.archive(2)
    found = await outcomes(scheduler, "new", "old", "other", "older", "new")
    assert found == [ACCEPTED, HistoryArchived, ACCEPTED, HistoryArchived, ACCEPTED]
    # One read for all of them, and one more for the remaining ones.
    assert len(store.consistencies) <= 2
    assert counters.attempts == 3


async def test_a_state_at_an_archived_position_is_read_from_the_beginning(
    store: GatedStore, scheduler: Scheduler
) -> None:
    await store.append([counted("old")])
    # One part has no event, the other one; both are cached at the present head.
    assert await outcomes(scheduler, "old") == [ACCEPTED]
    with_nothing = await sent(scheduler, command("Count", Key="new", Limit=0, Quietly=True))
    assert with_nothing.receipt.outcome.kind is REJECTED
    await store.append(filler())
    await store.append([counted("later")])
    await store.archive(FAR)
    assert await outcomes(scheduler, "new", "old", "later") == [ACCEPTED, HistoryArchived, ACCEPTED]
    await store.restore_archive()
    assert await outcomes(scheduler, "old", "old") == [ACCEPTED, REJECTED]


async def test_a_state_above_the_archived_range_is_continued(store: GatedStore, scheduler: Scheduler) -> None:
    await store.append([counted("old"), *filler()])
    assert await outcomes(scheduler, "old") == [ACCEPTED]
    await store.archive(2)
    await store.append(filler())
    assert await outcomes(scheduler, "old", "old") == [ACCEPTED, REJECTED]
