"""Values are the same if later folds cannot differ; indistinguishable values count as unchanged."""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, ByteSize, ConfigDict

from handlers.comparison import same, seems_same

BERLIN = ZoneInfo("Europe/Berlin")


class Slotted:
    __slots__ = ("__hidden", "lamps")

    def __init__(self, lamps: list[str], hidden: int = 0) -> None:
        self.lamps = lamps
        self.__hidden = hidden


class Extended(Slotted):
    """Has slots and a ``__dict__``."""


class Alone:
    __slots__ = ()


class Named(UUID):
    """A UUID with attributes."""


class Number(int):
    """An integer with attributes."""


@dataclass(frozen=True)
class Summed:
    numbers: tuple[int, ...] = (1, 2)

    @cached_property
    def total(self) -> int:
        return sum(self.numbers)


class Model(BaseModel):
    model_config = ConfigDict(frozen=True)

    numbers: tuple[int, ...] = (1, 2)

    @cached_property
    def total(self) -> int:
        return sum(self.numbers)


def one() -> int:
    return 1


def two() -> int:
    return 2


@pytest.mark.parametrize("compare", [same, seems_same])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, True),
        ([1], (1,)),
        (Decimal("1.10"), Decimal("1.1")),
        (deque([1], maxlen=3), deque([1])),
        (deque([1], maxlen=3), deque([2], maxlen=3)),
        (defaultdict(int), defaultdict(list)),
        (defaultdict(one), defaultdict(two)),
        (defaultdict(int, a=1), defaultdict(int, a=2)),
        (OrderedDict(a=1), OrderedDict(a=2)),
        (datetime(2026, 1, 2, tzinfo=BERLIN), datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1)))),
        (datetime(2026, 1, 2, tzinfo=BERLIN), datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/Paris"))),
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2)),  # noqa: DTZ001  the naive time must differ
        (time(1, tzinfo=UTC), time(1)),
        (datetime(2026, 10, 25, 2, 30), datetime(2026, 10, 25, 2, 30, fold=1)),  # noqa: DTZ001  naive times that differ in ``fold``
        (Slotted(["a"]), Slotted(["b"])),
        (Slotted([], 1), Slotted([], 2)),
        (Extended(["a"]), Extended(["b"])),
        (Named(int=1), Named(int=2)),
        (Number(1), Number(2)),
        (ByteSize(1), ByteSize(2)),
        (Path("a"), Path("b")),
        (one, two),
        (int, str),
        (Summed(), Summed((1,))),
        (Model(), Model(numbers=(1,))),
    ],
)
def test_values_that_differ_are_not_the_same(compare: Callable[[Any, Any], bool], first: Any, second: Any) -> None:
    assert not compare(first, second)
    assert not compare([first], [second])


@pytest.mark.parametrize("compare", [same, seems_same])
@pytest.mark.parametrize(
    "value",
    [
        deque([1], maxlen=3),
        defaultdict(one, a=1),
        datetime(2026, 1, 2, tzinfo=BERLIN),
        date(2026, 1, 2),
        Slotted(["a"], 1),
        Extended(["a"], 1),
        Named(int=1),
        Number(1),
        Fraction(1, 2),
        Path("a"),
        Summed(),
        Model(),
    ],
)
def test_a_copy_is_the_same(compare: Callable[[Any, Any], bool], value: Any) -> None:
    assert compare(deepcopy([value]), [value])


@pytest.mark.parametrize("value", [Summed(), Model()])
def test_a_cached_property_is_no_change(value: Any) -> None:
    copied = deepcopy(value)
    assert value.total == 3
    assert same(copied, value)
    assert same(value, copied)


@pytest.mark.parametrize("kind", [object, Alone])
def test_opaque_objects_are_unchanged_but_not_the_same(kind: type) -> None:
    assert seems_same({"a": kind()}, {"a": kind()})
    assert not same({"a": kind()}, {"a": kind()})
