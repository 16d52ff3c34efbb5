"""The oracle finds shared mutable state in views and deciders, and wrong states of a worker."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs
from pydantic import Field, field_validator

from eventstore import Filter, P, RecordedEvent
from handlers import (
    Accepted,
    Decider,
    Decision,
    Domain,
    DomainEvent,
    Invariant,
    Part,
    Unchanged,
    View,
)
from handlers.invariant import Check
from tests.support.domains import tally as counting
from tests.support.domains.tally import Count, Counted, CountOnce, events_of, tally
from tests.unit.load.ledger import Ledger, texts
from worker.load.part_folds import impure

FEW, MANY = 5, 100


def counting_with(
    *,
    events: Callable[[str], Filter] = events_of,
    initial: Callable[[str], Any] = tally.initial,
    evolve: Callable[[Any, DomainEvent], Any] = counting.evolve,
) -> Domain:
    """Return the domain with another view, and deciders that read it."""
    view = View(name="tally", events=events, initial=initial, evolve=evolve)

    def parts(command: Any) -> Part[Any]:
        return view.at(command.key)

    return Domain(
        name="tally",
        views=(view,),
        deciders=(
            Decider(command=Count, parts=parts, decide=counting.decide_count),
            Decider(command=CountOnce, parts=parts, decide=counting.decide_count_once),
        ),
        events=counting.domain.events,
    )


async def counted(ledger: Ledger, *, of: int, keys: str = "ab") -> None:
    """Record ``of`` correct decisions, for each key in turn."""
    for _ in range(of):
        for key in keys:
            await ledger.record(Count(key=key, limit=1000), Accepted(events=(Counted(key=key),)))


@pytest.mark.parametrize("of", [FEW, MANY])
async def test_a_long_history_is_as_clean_as_a_short_one(of: int) -> None:
    ledger = Ledger()
    await counted(ledger, of=of)
    report = await ledger.judge()
    assert texts(report) == []
    # Parts that are too long to be folded for each decision are folded whenever they have doubled.
    assert report.compared == (0 if of == FEW else 2 * 3)


@dataclass(frozen=True)
class Owned:
    """A state that keeps the key of the first command that read it."""

    owner: str
    counted: int = 0


async def test_an_initial_state_of_another_command_is_found() -> None:
    """A decider that passes its command to the view through a global."""
    asked: list[str] = []

    def parts(command: Count) -> Part[Owned]:
        asked.append(str(command.limit))
        return view.at(command.key)

    view = View(
        name="owned",
        events=events_of,
        initial=lambda _key: Owned(asked[-1]),
        evolve=lambda state, _: replace(state, counted=state.counted + 1),
    )

    def decide(command: Count, state: Owned) -> Decision:
        return Accepted(events=(Counted(key=command.key),)) if state.owner == str(command.limit) else Unchanged()

    deciders = (Decider(command=Count, parts=parts, decide=decide),)
    shared = Domain(name="tally", views=(view,), deciders=deciders, events=counting.domain.events)
    ledger = Ledger(shared)
    await ledger.record(Count(key="a", limit=1), Accepted(events=(Counted(key="a"),)))
    # As a worker decides that uses the first command's state for the second.
    second = await ledger.record(Count(key="a", limit=2), Unchanged())
    found = texts(await ledger.judge())
    assert found == [
        impure(view.at("a")),
        f"Count {second} was unchanged with no event, but the log up to 1 makes it accepted with Counted",
    ]


@pytest.mark.parametrize("of", [FEW, MANY])
async def test_a_state_that_leaks_into_another_is_found(of: int) -> None:
    everything: list[DomainEvent] = []

    def evolve(_: counting.Tally, event: DomainEvent) -> counting.Tally:
        everything.append(event)
        return counting.Tally(len(everything))

    ledger = Ledger()
    await counted(ledger, of=of)
    leaking = counting_with(evolve=evolve)
    assert any("is another state when it is folded by itself" in text for text in texts(await ledger.judge(leaking)))


async def test_a_shared_initial_state_is_found() -> None:
    shared: list[str] = []

    def evolve(state: list[str], event: Any) -> list[str]:
        state.append(event.key)
        return state

    ledger = Ledger()
    await counted(ledger, of=FEW)
    view = View(name="tally", events=events_of, initial=lambda _key: shared, evolve=evolve)
    decider = Decider(command=Count, parts=lambda command: view.at(command.key), decide=lambda *_: Unchanged())
    growing = Domain(name="tally", views=(view,), deciders=(decider,), events=counting.domain.events)
    assert "the view tally changes its state in place when Counted comes" in texts(await ledger.judge(growing))


async def test_a_state_that_is_changed_in_place_is_found() -> None:
    """Even if no decision is wrong because of it yet."""

    @dataclass
    class Open:
        counted: int = 0

    def evolve(state: Open, _: DomainEvent) -> Open:
        state.counted += 1
        return state

    ledger = Ledger(counting_with(initial=lambda _key: Open(), evolve=evolve))
    await counted(ledger, of=FEW)
    assert texts(await ledger.judge()) == ["the view tally changes its state in place when Counted comes"]


async def test_a_decider_that_changes_a_state_is_found() -> None:
    view: View[[str], list[str]] = View(
        name="keys", events=events_of, initial=lambda _key: [], evolve=lambda state, event: [*state, str(event)]
    )

    def decide(command: Count, state: list[str]) -> Decision:
        state.append("decided")
        return Accepted(events=(Counted(key=command.key),))

    decider = Decider(command=Count, parts=lambda command: view.at(command.key), decide=decide)
    ledger = Ledger(Domain(name="tally", views=(view,), deciders=(decider,), events=counting.domain.events))
    await counted(ledger, of=FEW)
    assert texts(await ledger.judge()) == ["decide of Count changes a state that it is given"]


async def test_a_decider_that_reads_other_parts_each_time_is_found() -> None:
    numbers = iter(range(1000))

    def parts(_: Count) -> Part[counting.Tally]:
        return tally.at(f"{next(numbers)}")

    decider = Decider(command=Count, parts=parts, decide=counting.decide_count)
    ledger = Ledger()
    await counted(ledger, of=1, keys="a")
    (key,) = ledger.commands
    found = texts(await ledger.judge(replace(counting.domain, deciders=(decider,))))
    assert found == [f"Count {key} reads other parts when it is asked again"]


@pytest.mark.parametrize("of", [FEW, MANY])
async def test_a_raising_evolve_is_found_and_ends_no_fold(of: int) -> None:
    """A fold that takes StopIteration for the end of the events misses the later ones."""

    def evolve(state: counting.Tally, event: DomainEvent) -> counting.Tally:
        if state.counted == 2:
            raise StopIteration
        return counting.evolve(state, event)

    ledger = Ledger()
    await counted(ledger, of=of, keys="a")
    found = texts(await ledger.judge(counting_with(evolve=evolve)))
    assert len(found) == min(of - 3, 20)
    assert all("cannot be decided again" in text for text in found)
    assert "evolve of tally.at('a') raised StopIteration at Counted, which is number 3" in found[0]


@pytest.mark.parametrize("where", ["initial", "evolve", "decide", "parts", "invariant"])
async def test_system_exit_in_a_view_is_found_and_does_not_end_the_oracle(where: str) -> None:
    def ending(*_: Any) -> Any:
        raise SystemExit(0)

    ledger = Ledger()
    await counted(ledger, of=FEW, keys="a")
    if where in {"initial", "evolve"}:
        changed = counting_with(**{where: ending})
    elif where == "invariant":
        changed = replace(counting.domain, invariants=(Invariant(name="ends", start=lambda: ending),))
    else:
        given: dict[str, Any] = {"parts": lambda _: tally.at("a"), "decide": counting.decide_count, where: ending}
        changed = replace(counting.domain, deciders=(Decider(command=Count, **given),))
    found = texts(await ledger.judge(changed))
    assert found
    assert all("SystemExit: 0" in text for text in found)


async def test_a_raising_event_validator_is_found_and_ends_no_fold() -> None:
    class Counted(DomainEvent):
        key: str = Field(alias="Key")

        @field_validator("key")
        @classmethod
        def known(cls, key: str) -> str:
            return next(each for each in "bc" if each == key)

    ledger = Ledger()
    await counted(ledger, of=2, keys="ab")
    others = tuple(each for each in counting.domain.events if each.__name__ != "Counted")
    picky = replace(counting.domain, events=(Counted, *others))
    found = texts(await ledger.judge(picky))
    assert sum(text.startswith("event 1 (Counted) cannot be read: ") for text in found) == 1
    assert sum(text.startswith("event 3 (Counted) cannot be read: ") for text in found) == 1


async def test_a_raising_initial_is_found() -> None:
    def initial(_key: str) -> counting.Tally:
        raise KeyError("nobody")

    ledger = Ledger()
    await counted(ledger, of=1, keys="a")
    (key,) = ledger.commands
    assert texts(await ledger.judge(counting_with(initial=initial))) == [
        f"Count {key} cannot be decided again at 0: initial of tally.at('a') raised KeyError: 'nobody'"
    ]


async def test_a_view_that_misses_an_event_breaks_an_invariant() -> None:
    """Its decisions are consistent with what it reads; the missed event shows only in the invariant."""

    def at_most_three() -> Check:
        seen = 0

        def check(number: int, event: DomainEvent) -> str | None:
            nonlocal seen
            seen += isinstance(event, Counted)
            return f"event {number} counts once more" if seen == 4 else None

        return check

    def forgotten(key: str) -> Filter:
        return Filter.matching().any_event_type_of("Forgotten").and_any_predicate_of(P("Key", key))

    narrow = replace(
        counting_with(events=forgotten),
        invariants=(Invariant(name="at most three", start=at_most_three),),
    )
    ledger = Ledger(narrow)
    for _ in range(5):
        await ledger.decide(Count(key="a", limit=3))
    assert texts(await ledger.judge()) == ["at most three: event 4 counts once more"]


async def test_a_raising_invariant_is_found() -> None:
    def broken() -> Check:
        def check(number: int, _: DomainEvent) -> str | None:
            raise LookupError(str(number))

        return check

    ledger = Ledger(replace(counting.domain, invariants=(Invariant(name="broken", start=broken),)))
    await counted(ledger, of=1, keys="a")
    assert texts(await ledger.judge()) == ["broken: event 1 cannot be checked: LookupError: 1"]


class Forgetful(Ledger):
    """A ledger whose reads by a filter miss the latest event."""

    async def read(self, boundary: Filter, **options: Any) -> AsyncIterator[RecordedEvent]:
        found = [event async for event in super().read(boundary, **options)]
        for event in found if boundary == Filter.matching_any_event() else found[:-1]:
            yield event


async def test_a_store_that_misses_an_event_is_found() -> None:
    ledger = Forgetful()
    await counted(ledger, of=MANY, keys="a")
    found = texts(await ledger.judge())
    assert found[0] == "the store finds 32 events of tally.at('a') up to 33, but the log holds 33"


def minutes(count: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=count)


@pytest.mark.parametrize(
    ("bound", "seen"),
    [
        pytest.param(lambda made: made.sequence_number_higher_than(3), 2, id="above"),
        pytest.param(lambda made: made.occurred_from(minutes(4)), 2, id="since"),
        pytest.param(lambda made: made.occurred_until(minutes(1)), 1, id="until"),
        pytest.param(lambda made: made.sequence_number_higher_than(99), 0, id="above the head"),
    ],
)
@pytest.mark.parametrize("room", [1, 0])
async def test_bounds_of_filters_count(bound: Callable[[Any], Filter], seen: int, room: int) -> None:
    ledger = Ledger(counting_with(events=lambda _key: bound(Filter.matching_any_event())))
    for number in range(1, 6):
        await ledger.record(Count(key="a", limit=9), Accepted(events=(Counted(key="a"),)))
        ledger.forge_event(number, lambda event: structs.replace(event, occurred_at=minutes(event.sequence_number)))
    key = await ledger.record(Count(key="a", limit=seen + room, quietly=True), Accepted(events=(Counted(key="a"),)))
    wrong = "was accepted with Counted, but the log up to 5 makes it rejected (limit reached) with no event"
    assert texts(await ledger.judge()) == ([] if room else [f"Count {key} {wrong}"])
