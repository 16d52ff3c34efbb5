"""The test kit fails where a decision is wrong, and where a worker would fail."""

from dataclasses import replace

import pytest

from eventstore import Filter, P
from handlers.decider import Decision, DomainEvent
from handlers.domain import Domain
from handlers.errors import UnknownCommand, UnknownEventType
from handlers.testing import accepted, kit, rejected, unchanged
from tests.unit.handlers.lamps import BROKEN, Broke, SwitchedOn, SwitchingFailed, SwitchOn, decider, domain

given = kit(domain)
ON = SwitchedOn(lamp="a", watts=5)
FAILED = SwitchingFailed(lamp="a")


def only_switching(command: SwitchOn) -> Filter:
    """Forgets that lamps break."""
    return Filter.matching().any_event_type_of("SwitchedOn").and_any_predicate_of(P("Lamp", command.lamp))


def test_right_decisions_pass() -> None:
    given().when(SwitchOn(lamp="a")).then(accepted(ON))
    given(ON).when(SwitchOn(lamp="a")).then(unchanged())
    given(ON, Broke(lamp="a")).when(SwitchOn(lamp="a")).then(rejected(BROKEN, FAILED))


@pytest.mark.parametrize(
    "expected",
    [
        unchanged(),
        accepted(SwitchedOn(lamp="a", watts=7)),
        accepted(ON, ON),
        rejected(BROKEN),
        rejected(BROKEN, FAILED),
    ],
)
def test_another_decision_fails_and_is_shown_beside_what_was_seen(expected: Decision) -> None:
    when = given(Broke(lamp="b")).when(SwitchOn(lamp="a"))
    with pytest.raises(AssertionError) as raised:
        when.then(expected)
    assert str(raised.value) == f"decided {accepted(ON)!r}\nexpected {expected!r}\nin its boundary: no event"


@pytest.mark.parametrize("expected", [rejected("out of order", FAILED), rejected(BROKEN), unchanged()])
def test_another_rejection_fails(expected: Decision) -> None:
    when = given(ON, Broke(lamp="b"), Broke(lamp="a")).when(SwitchOn(lamp="a"))
    with pytest.raises(AssertionError, match="in its boundary: 1 SwitchedOn, 3 Broke"):
        when.then(expected)


def test_an_event_that_the_boundary_misses_is_not_seen() -> None:
    forgetful = Domain(name="lamps", deciders=(replace(decider, boundary=only_switching),), events=domain.events)
    when = kit(forgetful)(Broke(lamp="a")).when(SwitchOn(lamp="a"))
    with pytest.raises(AssertionError, match="in its boundary: no event"):
        when.then(rejected(BROKEN, FAILED))


def test_events_lie_before_the_decider_as_they_were_recorded() -> None:
    seen = given(ON).when(SwitchOn(lamp="a")).seen
    assert [(event.sequence_number, event.type, event.payload) for event in seen] == [
        (1, "SwitchedOn", {"Lamp": "a", "Watts": 5})
    ]


class Vanished(DomainEvent):
    """Nobody lists it."""


class Unlisted(SwitchOn):
    """Nobody decides it."""


def test_a_history_that_no_worker_could_have_recorded_fails() -> None:
    with pytest.raises(UnknownEventType, match="does not list the event Vanished"):
        given(Vanished()).when(SwitchOn(lamp="a"))


@pytest.mark.parametrize("decision", [accepted(ON, Vanished()), rejected(BROKEN, Vanished())])
def test_a_decision_that_no_worker_could_record_fails(decision: Decision) -> None:
    vanishing = Domain(name="lamps", deciders=(replace(decider, decide=lambda *_: decision),), events=domain.events)
    with pytest.raises(UnknownEventType, match="does not list the event Vanished"):
        kit(vanishing)().when(SwitchOn(lamp="a"))


def test_a_command_that_nobody_decides_fails() -> None:
    with pytest.raises(UnknownCommand, match="no command 'Unlisted'"):
        given().when(Unlisted(lamp="a"))
