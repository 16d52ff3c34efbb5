"""The test kit fails for wrong decisions, and where a worker would fail."""

import gc
import re
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Lock
from types import MappingProxyType
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, PlainSerializer, field_validator

from eventstore import Filter, P
from handlers import (
    Accepted,
    Command,
    Decider,
    Decision,
    Domain,
    DomainEvent,
    InvalidDecision,
    InvalidParts,
    PersistentMap,
    Rejected,
    Unchanged,
    UnknownCommand,
    UnknownEventType,
    View,
)
from handlers.testing import NotAsserted, NotCopied, accepted, kit, rejected, unchanged
from tests.unit.handlers import lamps
from tests.unit.handlers.lamps import (
    BROKEN,
    Broke,
    SwitchedOn,
    SwitchingFailed,
    SwitchOn,
    decide,
    decider,
    domain,
    events_of,
    evolve,
    light,
)

given: Any = kit(domain)
anything: Any = kit
ON = SwitchedOn(lamp="a", watts=5)
FAILED = SwitchingFailed(lamp="a")


def deciding(view: View[..., Any], decide: Callable[..., Any] = decide) -> Domain:
    """The lamps domain with another view and decision."""
    made: Any = Decider
    asks = made(command=SwitchOn, parts=lambda command: view.at(command.lamp), decide=decide)
    return replace(domain, views=(view,), deciders=(asks,))


def test_correct_decisions_pass() -> None:
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
def test_a_wrong_decision_fails_and_is_shown_with_the_events_seen(expected: Decision) -> None:
    when = given(Broke(lamp="b")).when(SwitchOn(lamp="a"))
    with pytest.raises(AssertionError) as raised:
        when.then(expected)
    assert str(raised.value) == (
        f"decided {accepted(ON)!r}\nexpected {expected!r}\nlight.at('a') saw no event\nnot seen: 1 Broke"
    )


@pytest.mark.parametrize("expected", [rejected("out of order", FAILED), rejected(BROKEN), unchanged()])
def test_a_wrong_rejection_fails(expected: Decision) -> None:
    when = given(ON, Broke(lamp="b"), Broke(lamp="a")).when(SwitchOn(lamp="a"))
    with pytest.raises(AssertionError, match=r"light\.at\('a'\) saw 1 SwitchedOn, 3 Broke\nnot seen: 2 Broke"):
        when.then(expected)


def test_events_outside_the_parts_are_not_seen_and_are_reported() -> None:
    def only_switching(lamp: str) -> Filter:
        return Filter.matching().any_event_type_of("SwitchedOn").and_any_predicate_of(P("Lamp", lamp))

    forgetful = View(name="light", events=only_switching, initial=lambda _: "off", evolve=evolve)
    when = kit(deciding(forgetful))(Broke(lamp="a")).when(SwitchOn(lamp="a"))
    with pytest.raises(AssertionError, match=r"saw no event\nnot seen: 1 Broke"):
        when.then(rejected(BROKEN, FAILED))


def test_the_decider_gets_events_in_their_recorded_form() -> None:
    seen = given(ON, Broke(lamp="b")).when(SwitchOn(lamp="a")).seen
    assert [(event.sequence_number, event.type, event.payload) for event in seen] == [
        (1, "SwitchedOn", {"Lamp": "a", "Watts": 5})
    ]


class Vanished(DomainEvent):
    """Not listed in the domain."""


class Unlisted(SwitchOn):
    """A command without a decider."""


def test_an_impossible_history_fails() -> None:
    with pytest.raises(UnknownEventType, match="does not list the event Vanished"):
        given(Vanished()).when(SwitchOn(lamp="a"))


@pytest.mark.parametrize("decision", [accepted(ON, Vanished()), rejected(BROKEN, Vanished())])
def test_a_decision_that_cannot_be_recorded_fails(decision: Decision) -> None:
    with pytest.raises(UnknownEventType, match="does not list the event Vanished"):
        kit(deciding(light, lambda *_: decision))().when(SwitchOn(lamp="a"))


def test_a_command_without_a_decider_fails() -> None:
    with pytest.raises(UnknownCommand, match="no decider of the command 'Unlisted'"):
        given().when(Unlisted(lamp="a"))


def test_an_unlisted_view_fails() -> None:
    with pytest.raises(InvalidParts, match="names the view light, which the domain lamps does not list"):
        kit(replace(domain, views=()))().when(SwitchOn(lamp="a"))


# States of views


def test_a_views_state_is_compared_with_the_expected_one() -> None:
    given(ON, Broke(lamp="b")).sees(light.at("a"), "on")
    given(ON, Broke(lamp="b")).sees(light.at("b"), "broken")
    with pytest.raises(AssertionError) as raised:
        given(ON, Broke(lamp="b")).sees(light.at("a"), "off")
    assert str(raised.value) == (
        "light.at('a') shows 'on'\nexpected 'off'\nlight.at('a') saw 1 SwitchedOn\nnot seen: 2 Broke"
    )


def test_only_views_of_the_domain_can_be_tested() -> None:
    twin = View(name="light", events=events_of, initial=lambda _: "off", evolve=evolve)
    with pytest.raises(AssertionError, match="the domain lamps has another view named light"):
        given().sees(twin.at("a"), "off")


# Deciding the same command again


def test_a_part_without_the_commands_own_event_is_found_by_deciding_again() -> None:
    given().when(SwitchOn(lamp="a")).then(accepted(ON)).then_again(unchanged())

    def of_another(lamp: str) -> Filter:
        return events_of(f"{lamp}-new")

    blind = View(name="light", events=of_another, initial=lambda _: "off", evolve=evolve)
    then = kit(deciding(blind))().when(SwitchOn(lamp="a")).then(accepted(ON))
    with pytest.raises(AssertionError, match="not seen: 1 SwitchedOn"):
        then.then_again(unchanged())


# Changes in place


@dataclass
class Thawed:
    lamps: list[str] = field(default_factory=list)


class Model(BaseModel):
    lamps: set[str] = set()


class Bare:
    def __init__(self) -> None:
        self.lamps: list[str] = []


def changed(change: Callable[[Any], Any]) -> Callable[[Any, DomainEvent], Any]:
    def changing(state: Any, _: DomainEvent) -> Any:
        change(state)
        return state

    return changing


@pytest.mark.parametrize(
    ("initial", "change"),
    [
        (list, lambda state: state.append("a")),
        (dict, lambda state: state.update(a=1)),
        (set, lambda state: state.add("a")),
        (deque, lambda state: state.append("a")),
        (Thawed, lambda state: state.lamps.append("a")),
        (Model, lambda state: state.lamps.add("a")),
        (Bare, lambda state: state.lamps.append("a")),
        (lambda: ({"a": [1]},), lambda state: state[0]["a"].append(2)),
        (lambda: PersistentMap({"a": [1]}), lambda state: state["a"].append(2)),
        (lambda: (MappingProxyType({"a": 1}), [1]), lambda state: state[1].append(2)),
        (lambda: MappingProxyType({"a": [1]}), lambda state: state["a"].append(2)),
    ],
)
def test_a_state_that_is_changed_in_place_is_found(initial: Callable[[], Any], change: Callable[[Any], Any]) -> None:
    changing = View(name="light", events=events_of, initial=lambda _: initial(), evolve=changed(change))
    with pytest.raises(AssertionError) as raised:
        kit(deciding(changing, lambda *_: Unchanged()))(ON).sees(changing.at("a"), None)
    assert str(raised.value).startswith(f"evolve of the view light ({__file__}:")
    assert str(raised.value).endswith(
        "changes its state in place at event 1 (SwitchedOn); a worker shares states and events"
    )

    def deciding_in_place(_: SwitchOn, state: Any) -> Decision:
        change(state)
        return Unchanged()

    still = View(name="light", events=events_of, initial=lambda _: initial(), evolve=lambda state, _: state)
    with pytest.raises(AssertionError, match="changes the command or a state in place; a worker shares states"):
        kit(deciding(still, deciding_in_place))(ON).when(SwitchOn(lamp="a"))


class Lit(DomainEvent):
    lamp: str
    rooms: list[str]


def test_an_event_that_is_changed_in_place_is_found() -> None:
    """A worker parses each of its own events once, for all views that it matches."""

    def sorted_rooms(_: Any, event: DomainEvent) -> Any:
        assert isinstance(event, Lit)
        event.rooms.sort()
        return tuple(event.rooms)

    lit = View(
        name="lit",
        events=lambda: Filter.matching().any_event_type_of("Lit"),
        initial=lambda: None,
        evolve=sorted_rooms,
    )
    made = replace(domain, views=(light, lit), events=(*domain.events, Lit))
    kit(made)(Lit(lamp="a", rooms=["hall", "kitchen"])).sees(lit.at(), ("hall", "kitchen"))
    with pytest.raises(AssertionError) as raised:
        kit(made)(ON, Lit(lamp="a", rooms=["kitchen", "hall"])).sees(lit.at(), ("hall", "kitchen"))
    assert str(raised.value).startswith(f"evolve of the view lit ({__file__}:")
    assert str(raised.value).endswith("changes the event in place at event 2 (Lit); a worker shares states and events")


def test_a_state_that_cannot_be_copied_is_reported_and_hides_no_other_change() -> None:
    locked = View(name="locked", events=events_of, initial=lambda _: Lock(), evolve=lambda state, _: state)
    lists = View(name="lists", events=events_of, initial=lambda _: list[int](), evolve=lambda state, _: state)

    def appending(_: SwitchOn, __: Any, state: list[int]) -> Decision:
        state.append(1)
        return Unchanged()

    asks = Decider(command=SwitchOn, parts=lambda command: (locked.at("a"), lists.at(command.lamp)), decide=appending)
    made = replace(domain, views=(locked, lists), deciders=(asks,))
    sentence = r"the state of locked\.at\('a'\) cannot be copied, so that a change in place is not seen: TypeError: "
    with (
        pytest.warns(NotCopied, match=sentence),
        pytest.raises(AssertionError, match="changes the command or a state in place"),
    ):
        kit(made)().when(SwitchOn(lamp="a"))


class SwitchAll(Command):
    lamps: list[str]


def sort(command: SwitchAll) -> Decision:
    command.lamps.sort()
    return Unchanged()


def test_a_command_that_is_changed_in_place_is_found() -> None:
    sorting = replace(domain, deciders=(Decider(command=SwitchAll, parts=lambda _: (), decide=sort),))
    with pytest.raises(AssertionError, match=r"decide of SwitchAll \(.*\) changes the command or a state in place"):
        kit(sorting)().when(SwitchAll(lamps=["b", "a"]))


def test_an_impure_decision_is_found() -> None:
    numbers = count()
    with pytest.raises(AssertionError, match=r"decide of SwitchOn \(.*\) is not pure: asked twice, it decides"):
        kit(deciding(light, lambda *_: Rejected(reason=f"no {next(numbers)}")))().when(SwitchOn(lamp="a"))


# Values that do not round-trip


class Rounded(DomainEvent):
    lamp: str
    watts: Annotated[float, PlainSerializer(round, return_type=int)]


class Trimmed(DomainEvent):
    lamp: Any

    @field_validator("lamp")
    @classmethod
    def _doubled(cls, lamp: Any) -> Any:
        return lamp + lamp


@pytest.mark.parametrize(
    "event", [Rounded(lamp="a", watts=0.6), Trimmed(lamp="a"), Trimmed.model_construct(lamp=("a", "b"))]
)
def test_an_event_that_does_not_round_trip_is_found(event: DomainEvent) -> None:
    more = replace(domain, events=(*domain.events, Rounded, Trimmed))
    name = type(event).__name__
    with pytest.raises(AssertionError, match=f"{name} is not read back as it was written: .* comes back as "):
        kit(more)(event).when(SwitchOn(lamp="a"))
    recording = replace(deciding(light, lambda *_: Accepted(events=(event,))), events=more.events)
    with pytest.raises(AssertionError, match=f"{name} is not read back as it was written: .* comes back as "):
        kit(recording)().when(SwitchOn(lamp="a"))


def put_anything(state: Any, _: DomainEvent) -> dict[str, Any]:
    return {**state, "lamps": ("a",)}


def test_a_stored_state_that_does_not_round_trip_is_found() -> None:
    stored = View(name="light", events=events_of, initial=lambda _: {}, evolve=put_anything, stored_every=10)
    made = deciding(stored, lambda *_: Unchanged())
    kit(made)().sees(stored.at("a"), {})
    with pytest.raises(AssertionError, match="states of the view light are to be stored, but this one is not read"):
        kit(made)(ON).when(SwitchOn(lamp="a"))


# Filters that can never match


def test_a_part_whose_filter_cannot_match_is_found() -> None:
    def misspelt(lamp: str) -> Filter:
        return Filter.matching().any_event_type_of("SwitchedOn").and_any_predicate_of(P("lamp", lamp))

    dead = View(name="light", events=misspelt, initial=lambda _: "off", evolve=evolve)
    looks: list[Callable[[Any], Any]] = [
        lambda made: made().when(SwitchOn(lamp="a")),
        lambda made: made().sees(dead.at("a"), "off"),
    ]
    for look in looks:
        with pytest.raises(AssertionError) as raised:
            look(kit(deciding(dead)))
        assert str(raised.value) == (
            f"the view light ({__file__}:{misspelt.__code__.co_firstlineno}) asks SwitchedOn for the field 'lamp', "
            "which it does not have (did you mean Lamp?)"
        )


def test_a_filter_that_depends_on_the_clock_is_found() -> None:
    def recent(lamp: str) -> Filter:
        of_lamp = Filter.matching().any_event_type_of("SwitchedOn").and_any_predicate_of(P("Lamp", lamp))
        return of_lamp.occurred_from(datetime.now(UTC) - timedelta(hours=1))

    moving = View(name="light", events=recent, initial=lambda _: "off", evolve=evolve)
    with pytest.raises(AssertionError, match="is not pure: asked again, events returns another filter"):
        kit(deciding(moving))().when(SwitchOn(lamp="a"))


# Tests without an assertion


def forget_then() -> None:
    given().when(SwitchOn(lamp="a"))
    gc.collect()


def test_when_without_then_is_reported() -> None:
    with pytest.warns(NotAsserted) as warned:
        forget_then()
    assert [str(each.message) for each in warned] == ["when(SwitchOn(…)) checks nothing: add .then(…)"]


@pytest.mark.parametrize(
    "look", [lambda when: when.then(accepted(ON)), lambda when: when.decision, lambda when: when.seen]
)
def test_a_decision_that_is_read_is_not_reported(look: Callable[[Any], Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        look(given().when(SwitchOn(lamp="a")))
        gc.collect()


def test_the_decider_under_test_is_the_domains() -> None:
    assert domain.decider("SwitchOn") is decider


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "None"),
        (ON, "a SwitchedOn"),
        ("rejected", "a str"),
        (Unchanged, "the class Unchanged"),
    ],
)
def test_an_invalid_decision_is_refused_before_the_comparison(returned: Any, said: str) -> None:
    def decide_none(*_: Any) -> Any:
        return returned

    when = kit(deciding(light, decide_none))(ON)
    with pytest.raises(InvalidDecision) as raised:
        when.when(SwitchOn(lamp="a"))
    line = decide_none.__code__.co_firstlineno
    assert str(raised.value) == (
        f"decide of SwitchOn ({__file__}:{line}) returns Accepted(…), Rejected(…) or Unchanged(), not {said}; "
        "does each of its branches return one?"
    )


def test_a_decide_with_wrong_parameters_is_reported_with_its_line() -> None:
    def decide_alone(_: SwitchOn) -> Decision:
        return unchanged()

    with pytest.raises(InvalidDecision) as raised:
        kit(deciding(light, decide_alone))(ON).when(SwitchOn(lamp="a"))
    line = decide_alone.__code__.co_firstlineno
    assert re.fullmatch(
        rf"decide of SwitchOn \({re.escape(__file__)}:{line}\) gets 2 arguments, the command and what each of its "
        r"parts gives: \S+decide_alone\(\) takes 1 positional argument but 2 were given",
        str(raised.value),
    )


def test_a_wrong_call_inside_decide_is_a_bug_of_the_domain() -> None:
    def decide_badly(*_: Any) -> Decision:
        return rejected()  # type: ignore[call-arg]  # invalid on purpose

    with pytest.raises(TypeError, match=r"rejected\(\) missing 1 required") as raised:
        kit(deciding(light, decide_badly))(ON).when(SwitchOn(lamp="a"))
    assert not isinstance(raised.value, InvalidDecision)


@pytest.mark.parametrize(
    ("mistaken", "sentence"),
    [
        (lambda: anything(lamps), "kit takes a Domain; the module tests.unit.handlers.lamps is none"),
        (lambda: anything(light), "kit takes a Domain; a View is none"),
        (lambda: given([ON]), "given takes events, one after the other; a list is none"),
        (lambda: given(ON, SwitchOn(lamp="a")), "given takes events, one after the other; a SwitchOn is none"),
        (lambda: given(SwitchedOn), "given takes events, one after the other; the class SwitchedOn is none"),
        (lambda: given().when(SwitchOn), "when takes a command; the class SwitchOn is none"),
        (lambda: given().when({"lamp": "a"}), "when takes a command; a dict is none"),
        (lambda: given().when(ON), "when takes a command; a SwitchedOn is none"),
        (
            lambda: given(ON).sees(light, "on"),
            "sees takes a part, which is a view at a key, such as shelf.at(…); a View is none",
        ),
        (
            lambda: given(ON).when(SwitchOn(lamp="a")).then(unchanged),
            "then takes accepted(…), rejected(…) or unchanged(); the function unchanged is none",
        ),
        (
            lambda: given().when(SwitchOn(lamp="a")).then(ON),
            "then takes accepted(…), rejected(…) or unchanged(); a SwitchedOn is none",
        ),
    ],
)
def test_invalid_arguments_are_reported(mistaken: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(TypeError) as raised:
        mistaken()
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    "failing",
    [
        lambda: given().when(SwitchOn(lamp="a")).then(unchanged()),
        lambda: given().when(SwitchOn(lamp="a")).then(accepted(ON)).then_again(accepted(ON)),
        lambda: given(ON).sees(light.at("a"), "blue"),
        lambda: given(ON).sees(light, "blue"),
        lambda: given(SwitchOn),
    ],
)
def test_pytest_shows_the_tests_line_and_none_of_the_kit(failing: Callable[[], Any]) -> None:
    with pytest.raises((AssertionError, TypeError)) as raised:
        failing()
    assert {str(entry.path) for entry in raised.traceback.filter(raised)} == {__file__}
