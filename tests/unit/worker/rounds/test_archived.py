"""Commands that meet archived events: they fail alone, and whoever can do without is decided as ever."""

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
# Further than what is decided on without a read.
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
    """What becomes of a command for each key, all of one round."""
    answers = await asyncio.gather(
        *[sent(scheduler, command("Count", Key=key, Limit=3)) for key in keys], return_exceptions=True
    )
    return [each.receipt.outcome.kind if isinstance(each, Answer) else type(each) for each in answers]


async def test_who_meets_archived_events_fails_alone_among_others(
    store: GatedStore, scheduler: Scheduler, counters: Counters
) -> None:
    await store.append([counted("old"), counted("older"), *filler()])
    await store.archive(2)
    found = await outcomes(scheduler, "new", "old", "other", "older", "new")
    assert found == [ACCEPTED, HistoryArchived, ACCEPTED, HistoryArchived, ACCEPTED]
    # Once for all of them, and once more for those that are left.
    assert len(store.consistencies) <= 2
    assert counters.attempts == 3


async def test_what_is_known_up_to_an_archived_position_is_read_from_the_beginning(
    store: GatedStore, scheduler: Scheduler
) -> None:
    await store.append([counted("old")])
    # Of one there is nothing, of the other an event; both are kept up to where the log ends now.
    assert await outcomes(scheduler, "old") == [ACCEPTED]
    with_nothing = await sent(scheduler, command("Count", Key="new", Limit=0, Quietly=True))
    assert with_nothing.receipt.outcome.kind is REJECTED
    await store.append(filler())
    await store.append([counted("later")])
    await store.archive(FAR)
    assert await outcomes(scheduler, "new", "old", "later") == [ACCEPTED, HistoryArchived, ACCEPTED]
    await store.restore_archive()
    assert await outcomes(scheduler, "old", "old") == [ACCEPTED, REJECTED]


async def test_what_is_known_above_what_is_archived_goes_on(store: GatedStore, scheduler: Scheduler) -> None:
    await store.append([counted("old"), *filler()])
    assert await outcomes(scheduler, "old") == [ACCEPTED]
    await store.archive(2)
    await store.append(filler())
    assert await outcomes(scheduler, "old", "old") == [ACCEPTED, REJECTED]
