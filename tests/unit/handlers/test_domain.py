"""What a domain accepts as its parts, its commands and its events."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from eventstore import InvalidEvent, RecordedEvent
from handlers.decider import Decider, DomainEvent
from handlers.domain import Domain
from handlers.errors import InvalidCommand, InvalidDomain, UnknownCommand, UnknownEventType, UnreadableEvent
from tests.unit.handlers.lamps import Broke, SwitchedOn, SwitchOn, decider, domain


def recorded(event_type: str, payload: dict[str, Any], number: int = 7) -> RecordedEvent:
    return RecordedEvent(
        sequence_number=number, token=1, type=event_type, payload=payload, metadata={}, occurred_at=datetime.now(UTC)
    )


def another_broke() -> type[DomainEvent]:
    class Broke(DomainEvent):
        pass

    return Broke


@pytest.mark.parametrize("name", ["a", "lamps", "night-lamps_2", "a" * 50])
def test_a_name_that_can_name_queues_is_taken(name: str) -> None:
    assert Domain(name=name, deciders=(decider,), events=(Broke,)).name == name


@pytest.mark.parametrize("name", ["", "Lamps", "2lamps", "-lamps", "night lamps", "lamps.on", "lamps\n", "a" * 51])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidDomain, match="up to 50 small letters"):
        Domain(name=name, deciders=(decider,), events=(Broke,))


@pytest.mark.parametrize(
    ("deciders", "events", "message"),
    [
        ((), (Broke,), "the domain lamps has no command"),
        ((decider,), (), "the domain lamps has no event"),
        ((decider, decider), (Broke,), "the domain lamps has two kinds of command with one name"),
        ((decider,), (Broke, another_broke()), "the domain lamps has two kinds of event with one name"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    deciders: tuple[Decider[Any, Any], ...], events: tuple[type[DomainEvent], ...], message: str
) -> None:
    with pytest.raises(InvalidDomain) as raised:
        Domain(name="lamps", deciders=deciders, events=events)
    assert str(raised.value) == message


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
        # The names in Python are not those in JSON: no filter would find an event by them.
        ({"lamp": "a"}, "Lamp is missing"),
    ],
)
def test_each_wrong_field_is_named_with_the_reason(body: dict[str, Any], problems: str) -> None:
    with pytest.raises(InvalidCommand) as raised:
        domain.parse("SwitchOn", body)
    assert str(raised.value) == f"SwitchOn: {problems}"


def test_values_are_not_told() -> None:
    with pytest.raises(InvalidCommand) as raised:
        domain.parse("SwitchOn", {"Lamp": ["secret"], "Watts": "secret"})
    assert "secret" not in str(raised.value)


def test_a_newer_publishers_fields_are_passed_over() -> None:
    assert domain.parse("SwitchOn", {"Lamp": "a", "Colour": "red"}) == SwitchOn(lamp="a")


@pytest.mark.parametrize("field", ["Colour", "lamp", "Lmap"])
def test_a_persons_unknown_fields_are_refused(field: str) -> None:
    with pytest.raises(InvalidCommand) as raised:
        domain.parse("SwitchOn", {"Lamp": "a", field: "red"}, allow_unknown_fields=False)
    assert str(raised.value) == f"SwitchOn: {field} is not a field of it"


@pytest.mark.parametrize("name", ["SwitchOff", "switchon", "", "SwitchedOn"])
def test_an_unknown_command_is_told_with_those_that_are_known(name: str) -> None:
    with pytest.raises(UnknownCommand) as raised:
        domain.parse(name, {})
    assert str(raised.value) == f"the domain lamps has no command {name!r}; known are SwitchOn"


def test_a_recorded_event_is_read_by_its_json_names() -> None:
    event = domain.recorded(recorded("SwitchedOn", {"Lamp": "a", "Watts": 5}))
    assert event == SwitchedOn(lamp="a", watts=5)


def test_a_newer_workers_fields_are_passed_over() -> None:
    assert domain.recorded(recorded("Broke", {"Lamp": "a", "Cause": "age"})) == Broke(lamp="a")


def test_an_event_of_an_unknown_type_is_an_error_and_not_silence() -> None:
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
def test_an_unreadable_event_is_told_by_number_and_field(payload: dict[str, Any], problems: str) -> None:
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
def test_an_event_that_could_not_be_read_back_is_not_recorded(kind: type[DomainEvent]) -> None:
    with pytest.raises(UnknownEventType) as raised:
        domain.to_record(kind(), {})
    assert str(raised.value) == f"the domain lamps does not list the event {kind.__name__} that it is to record"


def test_a_value_that_the_store_cannot_record_is_refused() -> None:
    with pytest.raises(InvalidEvent):
        domain.to_record(Broke(lamp="a\x00"), {})
