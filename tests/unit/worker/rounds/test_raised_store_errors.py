"""A store error raised by a domain's code fails its own command at once, and opens no circuit breaker."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from eventstore import (
    ChainBroken,
    ConcurrencyConflict,
    EventStoreError,
    Filter,
    HistoryDiverged,
    OutcomeKind,
    OutcomeUnknown,
    PositionNotReached,
    StoreMisconfigured,
    StoreUnavailable,
    TransientStoreError,
)
from handlers import Decider, Domain, HandlerCrashed, View
from tests.support.domains.tally import Count, CountOnce, Tally, decide_count_once, domain, events_of, evolve
from tests.unit.worker.staged import StagedStore, command, counted
from worker.counters import Counters
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings

ERRORS = [
    StoreUnavailable("down"),
    OutcomeUnknown("lost"),
    StoreMisconfigured("no rights"),
    TransientStoreError("busy"),
    PositionNotReached("far"),
    HistoryDiverged("another"),
    ChainBroken("late"),
    ConcurrencyConflict(sequence_number=1, event_type="Counted", metadata={}),
]


def raising(error: EventStoreError) -> Callable[..., NoReturn]:
    def fail(*_: Any) -> NoReturn:
        raise error

    return fail


def raising_domain(where: str, error: EventStoreError) -> Domain:
    """The tally domain, with an additional command whose code raises an error of the store."""
    fails: Any = raising(error)

    def raising_events(_: str) -> Filter:
        raise error

    view = View(
        name="failing",
        events=raising_events if where == "events" else events_of,
        initial=fails if where == "initial" else lambda _: Tally(),
        evolve=fails if where == "evolve" else evolve,
    )
    failing = Decider(
        command=Count,
        parts=fails if where == "parts" else lambda command: view.at(command.key),
        decide=fails if where == "decide" else lambda command, _: fails(command),
    )
    (tally,) = domain.views
    working = Decider(command=CountOnce, parts=lambda command: tally.at(command.key), decide=decide_count_once)
    return replace(domain, views=(*domain.views, view), deciders=(failing, working))


@pytest.mark.parametrize("where", ["parts", "events", "initial", "evolve", "decide"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_store_error_raised_by_a_domain_fails_its_own_command(
    store: StagedStore, counters: Counters, where: str, error: EventStoreError
) -> None:
    scheduler = Scheduler(store, raising_domain(where, error), Settings(), counters)
    await store.append([counted()])
    with pytest.raises(HandlerCrashed, match=type(error).__name__):
        await scheduler.process(command("Count", Key="a"))
    # Decided once, and again on the primary; neither a conflict nor a pause.
    assert counters.attempts <= 1
    assert counters.conflicts == 0
    assert not scheduler._breaker.is_open
    answer = await scheduler.process(command("CountOnce", Key="b"))
    assert answer.receipt.outcome.kind is OutcomeKind.ACCEPTED
    await scheduler.close()
