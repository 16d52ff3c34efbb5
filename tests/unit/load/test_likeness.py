"""Likeness tells states apart that equality takes for one, and takes for one what says nothing of itself."""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from handlers import DomainEvent
from worker.load.likeness import Snapshot, alike


class Happened(DomainEvent):
    tags: list[str]


@dataclass
class Nested:
    inner: Any = field(default=None, compare=False)


class Plain:
    """Has no ``__eq__``."""

    def __init__(self, **values: Any) -> None:
        self.__dict__ |= values


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Colour(Enum):
    RED = "red"


class Refusing:
    def __eq__(self, other: object) -> bool:
        raise TypeError("never")

    __hash__ = None  # type: ignore[assignment]  # as Python says that it cannot be hashed


SAME: list[tuple[Any, Any]] = [
    (1, 1),
    (float("nan"), float("nan")),
    ({"a": [1, 2]}, {"a": [1, 2]}),
    ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
    (frozenset("ab"), frozenset("ba")),
    (deque([1]), deque([1])),
    (Nested(Nested(1)), Nested(Nested(1))),
    (Plain(a=Plain(b=1)), Plain(a=Plain(b=1))),
    (Slotted(Slotted(1)), Slotted(Slotted(1))),
    (Happened(tags=["a"]), Happened(tags=["a"])),
    (Colour.RED, Colour.RED),
    (object(), object()),
    (lambda: 1, lambda: 1),
    (Refusing(), Refusing()),
    ({Plain()}, {Plain()}),
]
OTHER: list[tuple[Any, Any]] = [
    (1, 2),
    (1, True),
    (1, 1.0),
    (1, Decimal(1)),
    ("1", 1),
    ([1], (1,)),
    ([1], [1, 1]),
    ({"a": 1}, {"a": 2}),
    ({"a": 1}, {"b": 1}),
    ({1}, frozenset({1})),
    (Nested(1), Nested(2)),
    (Plain(a=1), Plain(a=2)),
    (Plain(a=1), Plain(a=1, b=1)),
    (Slotted(1), Slotted(2)),
    (Happened(tags=["a"]), Happened(tags=[])),
    (None, 0),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_is_the_same(one: Any, other: Any) -> None:
    assert alike(one, other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_is_not(one: Any, other: Any) -> None:
    assert not alike(one, other)


def test_a_value_deeper_than_the_stack_is_taken_for_the_same() -> None:
    one: list[Any] = []
    other: list[Any] = [1]
    for _ in range(100_000):
        one, other = [one], [other]
    assert alike(one, other)


def test_a_snapshot_sees_a_change_deep_inside() -> None:
    state = Nested([Plain(a=[1])])
    snapshot = Snapshot(state)
    assert snapshot.holds
    state.inner[0].a.append(2)
    assert not snapshot.holds


def test_a_snapshot_of_what_cannot_be_copied_says_nothing() -> None:
    state = [(each for each in "ab")]
    snapshot = Snapshot(state)
    state.clear()
    assert snapshot.holds
