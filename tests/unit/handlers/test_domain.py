"""Domains: accepted declarations, commands and events."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from pydantic import Field, field_validator

from eventstore import Filter, InvalidEvent, RecordedEvent
from handlers import (
    Decider,
    Domain,
    DomainEvent,
    InvalidCommand,
    InvalidDomain,
    InvalidParts,
    InvalidState,
    Part,
    UnknownCommand,
    UnknownEventType,
    UnknownView,
    UnreadableEvent,
    View,
)
from handlers.decider import AnyDecider
from tests.unit.handlers.lamps import Broke, SwitchedOn, SwitchOn, decider, domain, evolve, light


def recorded(event_type: str, payload: dict[str, Any], number: int = 7) -> RecordedEvent:
    return RecordedEvent(
        sequence_number=number, token=1, type=event_type, payload=payload, metadata={}, occurred_at=datetime.now(UTC)
    )


def another_broke() -> type[DomainEvent]:
    class Broke(DomainEvent):
        pass

    return Broke


@pytest.mark.parametrize("name", ["a", "lamps", "night-lamps_2", "a" * 50])
def test_a_name_that_is_valid_for_queues_is_accepted(name: str) -> None:
    assert Domain(name=name, views=(light,), deciders=(decider,), events=(Broke,)).name == name


@pytest.mark.parametrize("name", ["", "Lamps", "2lamps", "-lamps", "night lamps", "lamps.on", "lamps\n", "a" * 51, 5])
def test_an_invalid_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidDomain, match="up to 50 small letters"):
        Domain(name=name, views=(light,), deciders=(decider,), events=(Broke,))


@pytest.mark.parametrize(
    ("deciders", "events", "message"),
    [
        ((), (Broke,), "the domain lamps has no command: list them, as deciders=(…,)"),
        ((decider,), (), "the domain lamps has no event: list them, as events=(…,)"),
        ((decider, decider), (Broke,), "the domain lamps has two kinds of command with one name: SwitchOn"),
        ((decider,), (Broke, another_broke()), "the domain lamps has two kinds of event with one name: Broke"),
    ],
)
def test_inconsistent_declarations_are_refused(
    deciders: tuple[AnyDecider, ...], events: tuple[type[DomainEvent], ...], message: str
) -> None:
    with pytest.raises(InvalidDomain) as raised:
        Domain(name="lamps", views=(), deciders=deciders, events=events)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": light}, f"takes a tuple as its views, and {light!r} is none; is a comma missing?"),
        ({"deciders": decider}, f"takes a tuple as its deciders, and {decider!r} is none; is a comma missing?"),
        ({"events": Broke}, "takes a tuple as its events, and Broke is none; is a comma missing?"),
        ({"invariants": None}, "takes a tuple as its invariants, and None is none; is a comma missing?"),
        ({"scenarios": "loan"}, "takes a tuple as its scenarios, and 'loan' is none; is a comma missing?"),
        ({"views": (light.at("a"),)}, "lists light.at('a') among its views, which is no View"),
        ({"deciders": (SwitchOn,)}, "lists SwitchOn among its deciders, which is no Decider"),
        ({"invariants": (light,)}, f"lists {light!r} among its invariants, which is no Invariant"),
        ({"scenarios": (SwitchOn,)}, "lists SwitchOn among its scenarios, which is no Scenario"),
        ({"events": (Broke(lamp="a"),)}, "lists Broke(lamp='a') among its events, which is no subclass of DomainEvent"),
    ],
)
def test_invalid_lists_are_reported(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDomain) as raised:
        replace(domain, **change)
    assert str(raised.value) == f"the domain lamps {message}"


def test_a_decider_without_a_command_is_reported() -> None:
    nothing: Any = None
    made = Decider(command=nothing, parts=decider.parts, decide=decider.decide)
    assert repr(made) == "Decider(None)"
    with pytest.raises(
        InvalidDomain, match="the domain lamps lists None among its commands, which is no subclass of Command"
    ):
        replace(domain, deciders=(made,))


def test_lists_are_accepted_as_tuples() -> None:
    views: Any = [light]
    assert replace(domain, views=views) == domain


def test_a_command_is_made_from_its_json_names() -> None:
    assert domain.parse("SwitchOn", {"Lamp": "a", "Watts": 7}) == SwitchOn(lamp="a", watts=7)


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, "Lamp is missing"),
        ({"Lamp": 5}, "Lamp: input should be a valid string"),
        ({"Lamp": "x" * 21}, "Lamp: string should have at most 20 characters"),
        ({"Lamp": "a", "Watts": 4}, "Watts: must be odd"),
        ({"Lamp": "candle", "Watts": 7}, "a candle has at most 5 watts"),
        ({"Watts": None}, "Lamp is missing; Watts: input should be a valid integer"),
        # Python names are refused: no filter would find an event by them.
        ({"lamp": "a"}, "Lamp is missing"),
    ],
)
def test_each_wrong_field_is_named_with_the_reason(body: dict[str, Any], problems: str) -> None:
    with pytest.raises(InvalidCommand) as raised:
        domain.parse("SwitchOn", body)
    assert str(raised.value) == f"SwitchOn: {problems}"


def test_values_are_not_in_the_message() -> None:
    with pytest.raises(InvalidCommand) as raised:
        domain.parse("SwitchOn", {"Lamp": ["secret"], "Watts": "secret"})
    assert "secret" not in str(raised.value)


def test_unknown_fields_of_a_newer_publisher_are_ignored() -> None:
    assert domain.parse("SwitchOn", {"Lamp": "a", "Colour": "red"}) == SwitchOn(lamp="a")


@pytest.mark.parametrize("field", ["Colour", "lamp", "Lmap"])
def test_unknown_fields_from_the_command_line_are_refused(field: str) -> None:
    with pytest.raises(InvalidCommand) as raised:
        domain.parse("SwitchOn", {"Lamp": "a", field: "red"}, allow_unknown_fields=False)
    assert str(raised.value) == f"SwitchOn: {field} is not a field of it"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Burn", "known are SwitchOn"),
        ("", "known are SwitchOn"),
        ("SwichOn", "did you mean SwitchOn?"),
        ("SwitchedOn", "did you mean SwitchOn?"),
    ],
)
def test_an_unknown_command_is_reported_with_the_known_ones(name: str, known: str) -> None:
    with pytest.raises(UnknownCommand) as raised:
        domain.parse(name, {})
    assert str(raised.value) == f"the domain lamps has no decider of the command {name!r}; {known}"


def test_a_recorded_event_is_read_by_its_json_names() -> None:
    event = domain.recorded(recorded("SwitchedOn", {"Lamp": "a", "Watts": 5}))
    assert event == SwitchedOn(lamp="a", watts=5)


def test_unknown_fields_of_a_newer_worker_are_ignored() -> None:
    assert domain.recorded(recorded("Broke", {"Lamp": "a", "Cause": "age"})) == Broke(lamp="a")


def test_an_event_of_an_unknown_type_is_an_error() -> None:
    with pytest.raises(UnknownEventType) as raised:
        domain.recorded(recorded("Vanished", {"Lamp": "a"}))
    assert str(raised.value) == "event 7 has the type Vanished, which the domain lamps does not know"


@pytest.mark.parametrize(
    ("payload", "problems"),
    [
        ({"Lamp": "a"}, "Watts is missing"),
        ({"Watts": 5}, "Lamp is missing"),
        ({}, "Lamp is missing; Watts is missing"),
        ({"lamp": "a", "Watts": 5}, "Lamp is missing"),
        ({"Lamp": "a", "Watts": Decimal("5.5")}, "Watts: input should be a valid integer"),
    ],
)
def test_an_unreadable_event_is_reported_with_number_and_field(payload: dict[str, Any], problems: str) -> None:
    with pytest.raises(UnreadableEvent) as raised:
        domain.recorded(recorded("SwitchedOn", payload, number=12))
    assert str(raised.value).startswith(f"event 12 (SwitchedOn) cannot be read: {problems}")


def test_an_event_is_recorded_by_its_json_names_and_read_back_the_same() -> None:
    fact = SwitchedOn(lamp="a", watts=5)
    event = domain.to_record(fact, {"trace": "t"})
    assert (event.type, event.payload, event.metadata) == (
        "SwitchedOn",
        {"Lamp": "a", "Watts": 5},
        {"trace": "t"},
    )
    assert domain.recorded(recorded(event.type, dict(event.payload))) == fact


@pytest.mark.parametrize("kind", [another_broke(), type("Vanished", (DomainEvent,), {})])
def test_an_event_that_cannot_be_read_back_is_not_recorded(kind: type[DomainEvent]) -> None:
    with pytest.raises(UnknownEventType) as raised:
        domain.to_record(kind(), {})
    assert (
        str(raised.value)
        == f"the domain lamps does not list the event {kind.__name__} that it is to record; add it to its events"
    )


def test_a_value_that_the_store_cannot_record_is_refused() -> None:
    with pytest.raises(InvalidEvent):
        domain.to_record(Broke(lamp="a\x00"), {})


def test_two_views_with_one_name_are_refused() -> None:
    with pytest.raises(InvalidDomain, match="the domain lamps has two views with one name: light"):
        replace(domain, views=(light, View(name="light", events=light.events, initial=str, evolve=evolve)))


def test_a_view_is_found_by_its_name() -> None:
    assert domain.view("light") is light


@pytest.mark.parametrize(
    ("name", "hint"), [("lihgt", "did you mean light?"), ("shelf", "known are light"), ("", "known are light")]
)
def test_an_unknown_view_is_reported_with_a_suggestion(name: str, hint: str) -> None:
    with pytest.raises(UnknownView) as raised:
        domain.view(name)
    assert str(raised.value) == f"the domain lamps has no view {name!r}; {hint}"


def test_a_part_of_a_view_that_the_domain_does_not_list_is_refused() -> None:
    twin = View(name="light", events=light.events, initial=light.initial, evolve=evolve)
    stranger = View(name="glow", events=light.events, initial=light.initial, evolve=evolve)
    for part in (twin.at("a"), stranger.at("a")):
        asking = Decider(command=SwitchOn, parts=partial(asking_for, part), decide=decider.decide)
        with pytest.raises(InvalidParts) as raised:
            replace(domain, deciders=(asking,)).reads(SwitchOn(lamp="a"))
        assert str(raised.value) == (
            f"parts of SwitchOn ({asking.place}) names the view {part.view.name}, "
            "which the domain lamps does not list; add it to its views"
        )


def asking_for(part: Part[str], _: SwitchOn) -> Part[str]:
    return part


def test_a_command_is_decided_from_the_states_of_its_parts() -> None:
    command = SwitchOn(lamp="a")
    reads = domain.reads(command)
    (part,) = reads.parts
    log = [recorded("SwitchedOn", {"Lamp": "a", "Watts": 5}), recorded("Broke", {"Lamp": "a"}, number=8)]
    assert part.initial() == "off"
    state = domain.fold(part, part.initial(), log[:1])
    assert state == "on"
    assert domain.fold(part, state, log[1:]) == domain.fold(part, "off", log) == "broken"
    assert domain.fold(part, state, ()) == "on"
    assert domain.decide(command, reads, {part: "on"}) == decider.decide(command, "on")


class Sold(DomainEvent):
    piece: int
    warehouse: str = Field(alias="Warehouse")

    @field_validator("warehouse")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "broken":
            raise RuntimeError("no such\nwarehouse")
        if value == "ended":
            sys.exit(3)
        return next(each for each in ("north", "south") if each == value)


def count(pieces: int, _: DomainEvent) -> int:
    return pieces + 1


sold = View(name="sold", events=lambda: Filter.matching().any_event_type_of("Sold"), initial=int, evolve=count)
stock = Domain(name="stock", views=(sold,), deciders=domain.deciders, events=(Sold,))


@pytest.mark.parametrize(
    ("warehouse", "raised"),
    [("east", "StopIteration"), ("broken", "RuntimeError: no such\nwarehouse"), ("ended", "SystemExit: 3")],
)
def test_an_exception_of_a_validator_never_ends_a_fold_silently(warehouse: str, raised: str) -> None:
    log = [
        recorded("Sold", {"piece": number, "Warehouse": warehouse if number == 2 else "north"}, number)
        for number in (1, 2, 3)
    ]
    with pytest.raises(UnreadableEvent) as unreadable:
        stock.fold(sold.at(), 0, log)
    assert str(unreadable.value) == f"event 2 (Sold) cannot be read: Warehouse: a check of it raised {raised}"
    assert unreadable.value.__cause__ is not None


def stop(*_: Any) -> Any:
    raise StopIteration


def forgetful(*_: object) -> frozenset[str]:
    return None  # type: ignore[return-value]  # as a branch without a return


def optional(*_: object) -> DomainEvent | None:
    return None


def test_evolve_returning_none_is_reported_with_its_location() -> None:
    """Otherwise the next reader of the state would fail on None, at an unrelated line."""
    log = [recorded("Sold", {"piece": 1, "Warehouse": "north"}, 1)]
    lost = View(name="sold", events=sold.events, initial=frozenset, evolve=forgetful).at()
    said = f"evolve of the view sold ({__file__}:{forgetful.__code__.co_firstlineno}) returns None at %s, and declares "
    with pytest.raises(InvalidState) as raised:
        stock.fold(lost, frozenset(), log)
    assert str(raised.value).startswith(f"{said % 'event 1 (Sold)'}to return frozenset[str]; does each")
    with pytest.raises(InvalidState) as raised:
        lost.advanced(frozenset(), [stock.recorded(log[0])])
    assert str(raised.value).startswith(said % "a Sold")
    # None is a valid state unless the declared type excludes it.
    for good in (optional, lambda *_: None):
        view = View(name="sold", events=sold.events, initial=lambda: None, evolve=good)
        assert stock.fold(view.at(), None, log) is None


def test_stop_iteration_of_a_domain_never_ends_a_fold_or_a_decision() -> None:
    stopping = View(name="sold", events=sold.events, initial=int, evolve=stop)
    log = [recorded("Sold", {"piece": 1, "Warehouse": "north"}, 1)]
    with pytest.raises(RuntimeError, match=r"evolve of the view sold \(.*\) raised StopIteration at event 1 \(Sold\)"):
        stock.fold(stopping.at(), 0, log)
    command = SwitchOn(lamp="a")
    undecided = replace(domain, deciders=(Decider(command=SwitchOn, parts=decider.parts, decide=stop),))
    with pytest.raises(RuntimeError, match="decide of SwitchOn raised StopIteration"):
        undecided.decide(command, undecided.reads(command), {light.at("a"): "off"})
