"""A state is stored only if it round-trips; a view whose states cannot be stored is refused with its domain."""

import sys
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel
from pydantic_core import CoreSchema, core_schema

from eventstore import Filter, RecordedEvent
from handlers import DamagedState, DomainEvent, InvalidDomain, PersistentMap, PersistentSet, UnknownView, View
from handlers.comparison import same
from handlers.state_codec import StateCodec
from tests.unit.handlers.lamps import domain


class Size(StrEnum):
    SMALL = "small"


@dataclass(frozen=True)
class Base:
    x: int = 1


@dataclass
class Fixed:
    """A tuple with a default for its last field."""

    x: int = 1
    y: int = field(init=False, default=3)


@dataclass(frozen=True)
class Sub(Base):
    y: int = 2


@dataclass(frozen=True)
class Holder:
    base: Base = Base()
    anything: Any = None
    either: dict[int | str, int] = field(default_factory=dict)
    union: float | int | str | None = None


class Model(BaseModel):
    size: Size = Size.SMALL
    holder: Holder | None = None


def ten() -> int:
    return 10


class Pair(NamedTuple):
    first: str
    second: Decimal


def broke() -> Filter:
    return Filter.matching().any_event_type_of("Broke")


def codec(kind: Any, initial: Callable[..., Any], evolve: Any = None) -> tuple[View[..., Any], StateCodec[Any]]:
    def still(state: Any, _: DomainEvent) -> Any:
        return state

    made = evolve or still
    made.__annotations__["return"] = kind
    view = View(name="seen", events=broke, initial=initial, evolve=made, stored_every=5)
    return view, StateCodec(view, domain.recorded)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (int, 5),
        (str | None, None),
        (frozenset[str], frozenset({"a", "b"})),
        (tuple[int, ...], (1, 2)),
        (dict[int, Decimal], {1: Decimal("1.10")}),
        (Pair, Pair("a", Decimal("1.0"))),
        (Holder, Holder(either={"7": 5})),
        (Holder, Holder(either={"a": 5}, union="x", anything=[1, "a", None])),
        (Model, Model(holder=Holder(union=2.5))),
        (PersistentMap[str, Holder], PersistentMap({"a": Holder()})),
        (PersistentMap[int, PersistentSet[UUID]], PersistentMap({1: PersistentSet([UUID(int=1)])})),
        (deque[int], deque([1, 2])),
        (defaultdict[str, int], defaultdict(int, a=1)),
        (datetime, datetime(2026, 1, 2, tzinfo=UTC)),
        (datetime, datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1)))),
        (datetime, datetime(2026, 1, 2)),  # noqa: DTZ001  naive on purpose
        (time, time(1, 2)),
        (Fixed, Fixed(2)),
    ],
)
def test_a_state_that_round_trips_is_written(kind: Any, state: Any) -> None:
    view, made = codec(kind, lambda: state)
    text = made.write(view.at(), state, None)
    assert text is not None
    assert same(made.read(text), state)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (Holder, Holder(base=Sub())),
        (Holder, Holder(anything=(1, 2))),
        (Holder, Holder(anything=Decimal("1.10"))),
        (Holder, Holder(anything=frozenset({1}))),
        (Holder, Holder(anything={1: 2})),
        (Holder, Holder(anything=Size.SMALL)),
        (Holder, Holder(either={1: 5})),
        (Holder, Holder(union=float("nan"))),
        (Holder, Holder(anything=b"\xff")),
        (Holder, Holder(anything=object())),
        (int, True),
        (float, 1),
        (str, Size.SMALL),
        (Model, Model.model_construct(size="small")),  # type: ignore[arg-type]  # invalid on purpose
        (dict[str, int], defaultdict(int)),
        (defaultdict[str, int], defaultdict(ten)),
        (deque[int], deque([1, 2], maxlen=3)),
        (datetime, datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/Berlin"))),
        (datetime, datetime(2026, 10, 25, 2, 30, fold=1)),  # noqa: DTZ001  the hour that occurs twice
        (Base, Sub()),
        (int, "5"),
    ],
)
def test_a_state_that_does_not_round_trip_is_not_written(kind: Any, state: Any) -> None:
    empty: dict[Any, Callable[[], Any]] = {dict[str, int]: dict, defaultdict[str, int]: lambda: defaultdict(int)}
    view, made = codec(kind, empty.get(kind, kind))
    assert made.write(view.at(), state, None) is None


def event(number: int = 1) -> RecordedEvent:
    return RecordedEvent(
        sequence_number=number,
        token=0,
        type="Broke",
        payload={"Lamp": "a"},
        metadata={},
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_state_must_fold_the_next_event_to_the_same() -> None:
    made: list[int] = []

    def folding(state: tuple[int, ...], _: DomainEvent) -> tuple[int, ...]:
        made.append(len(made))
        return (*state, len(made))

    view, impure = codec(tuple[int, ...], tuple, folding)
    assert impure.write(view.at(), (), None) == b"[]"
    assert impure.write(view.at(), (), event()) is None


def test_an_event_in_the_state_already_may_be_refused() -> None:
    def removing(state: tuple[int, ...], _: DomainEvent) -> tuple[int, ...]:
        left = list(state)
        left.remove(7)
        return tuple(left)

    view, made = codec(tuple[int, ...], tuple, removing)
    assert made.write(view.at(), (), event()) == b"[]"

    numbers = count()

    def failing(_: tuple[int, ...], __: DomainEvent) -> tuple[int, ...]:
        raise LookupError(next(numbers))

    view, bad = codec(tuple[int, ...], tuple, failing)
    assert bad.write(view.at(), (), event()) is None


class Leaving:
    """Raises SystemExit when it is read."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: Any) -> CoreSchema:
        made = core_schema.no_info_plain_validator_function(sys.exit)
        return core_schema.json_or_python_schema(
            made, made, serialization=core_schema.plain_serializer_function_ser_schema(lambda _: 1)
        )


def test_system_exit_does_not_escape_from_writing() -> None:
    def leaving(_: int, __: DomainEvent) -> int:
        raise SystemExit(3)

    view, made = codec(int, int, leaving)
    assert made.write(view.at(), 5, event()) == b"5"

    view, made = codec(Leaving, sys.exit)
    assert made.write(view.at(), Leaving(), None) is None
    with pytest.raises(DamagedState, match="SystemExit"):
        made.read(b"1")


def test_a_keyboard_interrupt_passes_through() -> None:
    def interrupted(_: int, __: DomainEvent) -> int:
        raise KeyboardInterrupt

    view, made = codec(int, int, interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.write(view.at(), 5, event())


@pytest.mark.parametrize("text", [b"", b"{", b"5", b'{"x": 1}', b"\xff", b"[[]]", b'["a"]'])
def test_a_damaged_state_is_reported(text: bytes) -> None:
    _, made = codec(tuple[int, ...], tuple)
    with pytest.raises(DamagedState):
        made.read(text)


class Refusing:
    """A type that pydantic does not know."""


def undeclared(state, _):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  undeclared on purpose
    return state


def anything(state: Any, _: DomainEvent) -> Any:
    return state


def refusing(state: Refusing, _: DomainEvent) -> Refusing:
    return state


def text_of(state: str, _: DomainEvent) -> str:
    return state


@pytest.mark.parametrize(
    ("initial", "evolve", "sentence"),
    [
        (lambda: 0, undeclared, "but neither evolve nor initial declares what it returns"),
        (lambda: 0, anything, "but neither evolve nor initial declares what it returns"),
        (Refusing, refusing, "but pydantic cannot write a Refusing: Unable to generate pydantic-core schema"),
        (lambda: 0, text_of, "but 0 is not read back as it was written"),
    ],
)
def test_a_domain_whose_states_cannot_be_stored_is_refused(
    initial: Callable[[], Any], evolve: Callable[[Any, DomainEvent], Any], sentence: str
) -> None:
    view = View(name="seen", events=broke, initial=initial, evolve=evolve, stored_every=5)
    with pytest.raises(InvalidDomain) as raised:
        replace(domain, views=(view,))
    start = "the domain lamps: states of the view seen are to be stored, "
    assert str(raised.value).startswith(start + sentence)
    unstored = View(name="seen", events=broke, initial=initial, evolve=evolve)
    made = replace(domain, views=(unstored,))
    with pytest.raises(UnknownView, match="the domain lamps stores no states of a view seen"):
        made.codec(unstored)


def test_a_class_as_initial_declares_the_states_type() -> None:
    view = View(name="seen", events=broke, initial=Holder, evolve=undeclared, stored_every=5)
    made = StateCodec(view, domain.recorded)
    assert made.write(view.at(), Holder(), None) is not None
