"""Deciders: the parts of a command, and invalid decisions and declarations."""

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest
from pydantic import ValidationError

from eventstore import InvalidFilter
from handlers import (
    Accepted,
    Command,
    Decider,
    Decision,
    DomainEvent,
    InvalidDecider,
    InvalidParts,
    Rejected,
    Unchanged,
)
from handlers.place import place_of
from tests.unit.handlers.lamps import SwitchedOn, SwitchOn, decider, light


def test_a_decider_is_named_after_its_command() -> None:
    assert decider.name == "SwitchOn"


def reading(parts: Callable[[SwitchOn], Any], decide: Callable[..., Decision] = lambda *_: Unchanged()) -> Any:
    make: Any = Decider
    return make(command=SwitchOn, parts=parts, decide=decide)


@pytest.mark.parametrize(
    ("parts", "keys"),
    [
        (lambda _: (), []),
        (lambda command: light.at(command.lamp), ["a"]),
        (lambda command: (light.at(command.lamp),), ["a"]),
        (lambda command: (light.at("b"), light.at(command.lamp), light.at("b")), ["b", "a"]),
        (lambda _: light.at_each(["b", "c", "b"]), ["b", "c"]),
        (lambda command: (light.at_each(["b", "a"]), light.at(command.lamp), light.at("c")), ["b", "a", "c"]),
        (lambda _: light.at_each([]), []),
    ],
)
def test_the_boundary_is_the_distinct_parts_in_order(parts: Callable[[SwitchOn], Any], keys: list[str]) -> None:
    reads = reading(parts).reads(SwitchOn(lamp="a"))
    assert [part.key for part in reads.parts] == [(key,) for key in keys]


def test_decide_gets_the_state_of_each_part_in_order() -> None:
    states = {light.at(lamp): lamp.upper() for lamp in "abcd"}
    reads = reading(lambda _: (light.at("b"), light.at_each(["c", "a"]), light.at("b"))).reads(SwitchOn(lamp="a"))
    assert reads.arguments(states) == ("B", {"c": "C", "a": "A"}, "B")


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        (lambda _: None, "returns a part, parts, or a tuple of these, not None"),
        (lambda _: [light.at("a")], "returns a part, parts, or a tuple of these, not a list"),
        (lambda _: light.events("a"), "returns a part, parts, or a tuple of these, not an OpenFilter"),
        (
            lambda _: (light.at("a"), light),
            ("returns a part, parts, or a tuple of these, not a tuple with a view without its key: write light.at(…)"),
        ),
        (lambda _: light, "returns a part, parts, or a tuple of these, not a view without its key: write light.at(…)"),
        (lambda _: light.at_each(["a", "b", "c", "d"]), "names 4 parts; a command reads at most 3"),
        (lambda command: light.at(command.watts), "the view light takes str for lamp, not int"),
        (
            lambda _: light.at(),  # type: ignore[call-arg]  # invalid on purpose
            "the key of the view light is made of lamp: missing a required argument: 'lamp'",
        ),
    ],
)
def test_an_invalid_part_is_reported_with_the_deciders_line(parts: Callable[[SwitchOn], Any], problem: str) -> None:
    made = reading(parts)
    line = parts.__code__.co_firstlineno
    with pytest.raises(InvalidParts) as raised:
        made.reads(SwitchOn(lamp="a"), most=3)
    told, _, said = str(raised.value).partition(")")
    assert told == f"parts of SwitchOn ({__file__}:{line}"
    assert said.removeprefix(": ").removeprefix(" ") == problem


def test_an_impossible_key_value_is_a_fault_of_the_command() -> None:
    with pytest.raises(InvalidFilter):
        decider.reads(SwitchOn(lamp="a\x00"))


def test_a_decider_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="a decider cannot be changed"):
        decider.parts = lambda _: ()


@pytest.mark.parametrize("given", ["function", "partial", "object", "builtin", "wrapped"])
def test_the_reported_location_is_in_the_domains_code(given: str) -> None:
    class Callable_:  # noqa: N801  in the place of a function
        def __call__(self) -> None: ...

    def plain() -> None: ...

    @wraps(plain)
    def wrapping() -> None: ...

    functions: dict[str, tuple[Any, int | None]] = {
        "function": (plain, plain.__code__.co_firstlineno),
        "partial": (partial(plain), plain.__code__.co_firstlineno),
        "object": (Callable_(), Callable_.__call__.__code__.co_firstlineno),
        "builtin": (len, None),
        "wrapped": (wrapping, plain.__code__.co_firstlineno),
    }
    function, line = functions[given]
    assert place_of(function) == ("builtins.len" if line is None else f"{__file__}:{line}")


def test_an_acceptance_without_an_event_is_refused() -> None:
    none: tuple[Any, ...] = ()
    nothing: Any = (event for event in none)
    for events in ((), nothing):
        with pytest.raises(ValueError, match="one that has nothing to do is unchanged"):
            Accepted(events=events)


def test_the_events_of_an_acceptance_may_come_from_any_iterable() -> None:
    on = SwitchedOn(lamp="a", watts=5)
    several: list[Any] = [[on], iter([on]), (event for event in [on])]
    for events in several:
        assert Accepted(events=events).events == (on,)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: Accepted(events=SwitchedOn(lamp="a", watts=5)),  # type: ignore[arg-type]  # invalid on purpose
            "an accepted command has a tuple of events, not a SwitchedOn: write events=(…,)",
        ),
        (
            lambda: Accepted(events=None),  # type: ignore[arg-type]  # invalid on purpose
            "an accepted command has a tuple of events, not None",
        ),
        (
            lambda: Accepted(events=("on",)),  # type: ignore[arg-type]  # invalid on purpose
            "an accepted command records events, and a str is none",
        ),
        (
            lambda: Rejected(reason=None),  # type: ignore[arg-type]  # invalid on purpose
            "a rejected command has a text as its reason, not None",
        ),
        (
            lambda: Rejected(reason="no", event=()),  # type: ignore[arg-type]  # invalid on purpose
            "a rejected command records events, and a tuple is none",
        ),
    ],
)
def test_a_decision_of_wrong_types_is_refused(make: Callable[[], Decision], sentence: str) -> None:
    with pytest.raises(TypeError) as raised:
        make()
    assert str(raised.value) == sentence


async def later(*_: Any) -> Decision:
    return Unchanged()


def one_by_one(command: SwitchOn) -> Iterator[Any]:
    yield light.at(command.lamp)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"parts": light.at("a")}, "the decider of SwitchOn needs a function as its parts, not a Part"),
        ({"parts": None}, "the decider of SwitchOn needs a function as its parts, not None"),
        ({"decide": None}, "the decider of SwitchOn needs a function as its decide, not None"),
        (
            {"decide": later},
            "the decider of SwitchOn needs a function as its decide, and this one is async: nothing is awaited here",
        ),
        (
            {"parts": one_by_one},
            "the decider of SwitchOn needs a function as its parts, and this one yields: it must return",
        ),
    ],
)
def test_a_decider_without_functions_is_refused(change: dict[str, Any], sentence: str) -> None:
    made: dict[str, Any] = {"command": SwitchOn, "parts": decider.parts, "decide": decider.decide}
    with pytest.raises(InvalidDecider) as raised:
        Decider(**(made | change))
    assert str(raised.value) == sentence


def test_parts_that_raise_stop_iteration_are_reported() -> None:
    made = reading(lambda _: next(iter(())))
    with pytest.raises(RuntimeError, match=r"parts of SwitchOn \(.*\) raised StopIteration"):
        made.reads(SwitchOn(lamp="a"))


def test_decisions_are_compared_by_value() -> None:
    on = SwitchedOn(lamp="a", watts=5)
    assert Accepted(events=(on,)) == Accepted(events=(SwitchedOn(lamp="a", watts=5),))
    assert Rejected(reason="no") != Rejected(reason="no", event=on)
    decisions: set[Decision] = {Rejected(reason="no"), Unchanged(), Unchanged()}
    assert len(decisions) == 2


@pytest.mark.parametrize("value", [SwitchOn(lamp="a"), SwitchedOn(lamp="a", watts=5)])
def test_commands_and_events_cannot_be_changed(value: Command | DomainEvent) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        value.lamp = "b"  # type: ignore[union-attr]  # invalid on purpose
