"""Decisions with very many or very large events: no round exceeds the limit of one append."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from eventstore import LARGEST_APPEND, InvalidRequest, OutcomeKind
from handlers import Accepted, Command, Decider, Decision, Domain, View
from tests.support.domains.tally import Counted, Tally, events_of, evolve
from tests.unit.worker.rounds.gated_store import GatedStore, all_wait, sent
from tests.unit.worker.staged import command
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings

_tally = View(name="tally", events=events_of, initial=lambda _: Tally(), evolve=evolve)


class CountMany(Command):
    key: str
    times: int


def _decide(asked: CountMany, _state: Tally) -> Decision:
    return Accepted(events=(Counted(key=asked.key),) * asked.times)


_domain = Domain(
    name="tally",
    views=(_tally,),
    deciders=(Decider(command=CountMany, parts=lambda asked: _tally.at(asked.key), decide=_decide),),
    events=(Counted,),
)


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
async def scheduler(store: GatedStore) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, _domain, Settings())
    yield scheduler
    await scheduler.close()


async def test_events_beyond_the_limit_of_a_round_are_recorded_in_several(
    store: GatedStore, scheduler: Scheduler
) -> None:
    store.may_answer.clear()
    first = sent(scheduler, command("CountMany", key="first", times=1))
    await all_wait()
    # These wait together while the first is recorded.
    others = [sent(scheduler, command("CountMany", key=f"k{place}", times=2000)) for place in range(4)]
    await all_wait()
    store.may_answer.set()
    answers = await asyncio.gather(first, *others)
    assert {answer.receipt.outcome.kind for answer in answers} == {OutcomeKind.ACCEPTED}
    assert len(store._log.events) == 1 + 4 * 2000
    assert sum(store.chains) == 5
    assert max(store.chains) == 2


async def test_large_events_are_recorded_in_several_rounds(store: GatedStore, scheduler: Scheduler) -> None:
    """All of them in one statement would take the process's memory, and the server might refuse it."""
    store.may_answer.clear()
    first = sent(scheduler, command("CountMany", key="first", times=1))
    await all_wait()
    others = [sent(scheduler, command("CountMany", key=f"{place}" * 900_000, times=2)) for place in range(7)]
    await all_wait()
    store.may_answer.set()
    answers = await asyncio.gather(first, *others)
    assert {answer.receipt.outcome.kind for answer in answers} == {OutcomeKind.ACCEPTED}
    assert sum(store.chains) == 8
    assert max(store.chains) == 3


async def test_a_decision_with_too_many_events_fails_alone(store: GatedStore, scheduler: Scheduler) -> None:
    store.may_answer.clear()
    first = sent(scheduler, command("CountMany", key="first", times=1))
    await all_wait()
    beside = sent(scheduler, command("CountMany", key="a", times=3))
    large = sent(scheduler, command("CountMany", key="a", times=LARGEST_APPEND + 1))
    behind = sent(scheduler, command("CountMany", key="a", times=LARGEST_APPEND))
    await all_wait()
    store.may_answer.set()
    with pytest.raises(InvalidRequest, match="at most 5,000 events are recorded at once, not 5,001"):
        await large
    for answer in await asyncio.gather(first, beside, behind):
        assert answer.receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert len(store._log.events) == 1 + 3 + LARGEST_APPEND
