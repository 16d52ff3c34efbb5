"""The cache of states: lookup, monotonic positions, and eviction."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from eventstore import Filter, P, Position
from handlers.decider import DomainEvent
from handlers.kept_states import KeptState, KeptStates, state_size
from handlers.view import View


def _events(key: str) -> Filter:
    return Filter.matching().any_predicate_of(P("Key", key))


def _same(state: int, _: DomainEvent) -> int:
    return state


def _view(name: str = "counted", version: int = 1) -> View[[str], int]:
    return View(name=name, events=_events, initial=lambda _: 0, evolve=_same, version=version)


COUNTED = _view()


def kept(number: int, state: object = None, events: int = 0) -> KeptState:
    return KeptState(state=state, position=Position(number=number, token=1), events=events)


def test_entries_only_move_forward() -> None:
    states = KeptStates()
    part = COUNTED.at("a")
    states.keep(part, kept(5, "new"))
    states.keep(part, kept(4, "old"))
    assert states.find(part) == kept(5, "new")
    states.keep(part, kept(6, "newest"))
    assert states.find(part) == kept(6, "newest")


def test_a_part_is_identified_by_view_version_key_and_filter() -> None:
    states = KeptStates()
    states.keep(COUNTED.at("a"), kept(1, "kept"))
    assert states.find(_view().at("a")) == kept(1, "kept")
    others = (COUNTED.at("b"), _view("other").at("a"), _view(version=2).at("a"))
    assert [states.find(other) for other in others] == [None] * 3


def test_keys_that_are_equal_in_python_only_have_separate_states() -> None:
    def events(key: Any) -> Filter:
        return Filter.matching().any_predicate_of(P("Key", key))

    anything = View(name="anything", events=events, initial=lambda _: 0, evolve=_same)
    states = KeptStates()
    states.keep(anything.at(1), kept(1, "one"))
    assert states.find(anything.at(Decimal("1.0"))) == kept(1, "one")
    assert states.find(anything.at(True)) is None
    assert states.find(anything.at("1")) is None


def test_the_least_recently_used_entry_is_evicted_first() -> None:
    states = KeptStates(most=2)
    for key in ("a", "b"):
        states.keep(COUNTED.at(key), kept(1))
    states.find(COUNTED.at("a"))
    states.keep(COUNTED.at("c"), kept(1))
    assert len(states) == 2
    assert states.find(COUNTED.at("b")) is None


def test_large_states_evict_each_other() -> None:
    states = KeptStates(most_bytes=250_000)
    for key in ("a", "b", "c"):
        states.keep(COUNTED.at(key), kept(1, "x" * 100_000))
    assert [states.find(COUNTED.at(key)) is not None for key in ("a", "b", "c")] == [False, True, True]
    assert states.bytes < 250_000
    # A state above the total limit is not cached, and evicts nothing.
    states.keep(COUNTED.at("d"), kept(1, "x" * 300_000))
    assert [states.find(COUNTED.at(key)) is not None for key in ("b", "c", "d")] == [True, True, False]
    assert 200_000 < states.bytes < 250_000


def test_a_growing_state_counts_with_its_present_size() -> None:
    states = KeptStates(most_bytes=100_000)
    part = COUNTED.at("a")
    for number in range(1, 50_000, 100):
        states.keep(part, kept(number, "x" * number, events=number))
    assert states.find(part) is not None
    for number in range(50_000, 210_000, 100):
        states.keep(part, kept(number, "x" * number, events=number))
    assert states.find(part) is None


def test_nothing_is_cached_with_a_limit_of_zero() -> None:
    states = KeptStates(most=0)
    states.keep(COUNTED.at("a"), kept(1))
    assert states.find(COUNTED.at("a")) is None


def test_clear_removes_everything() -> None:
    states = KeptStates()
    states.keep(COUNTED.at("a"), kept(1))
    states.forget()
    assert (len(states), states.bytes) == (0, 0)


@dataclass(frozen=True, slots=True)
class Shelf:
    product: str
    pieces: int = 0
    orders: frozenset[str] = field(default_factory=frozenset)


@pytest.mark.parametrize(
    ("state", "least", "most"),
    [
        (0, 20, 40),
        ("x" * 1000, 1000, 1100),
        (Shelf("tea", 3, frozenset(f"order-{n}" for n in range(10_000))), 900_000, 1_300_000),
        ({f"k{n}": ("a" * 50, n) for n in range(5_000)}, 900_000, 1_600_000),
        (Shelf, 0, 0),
    ],
)
def test_estimated_sizes_are_accurate(state: object, least: int, most: int) -> None:
    assert least <= state_size(state) <= most


class Slotted:
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self) -> None: ...


class Packed(msgspec.Struct):
    text: str


class Shy:
    def __len__(self) -> int:
        raise ValueError("is not for you to know")

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __contains__(self, _: object) -> bool:
        return False


class Deadly:
    def __sizeof__(self) -> int:
        raise SystemExit(3)


@pytest.mark.parametrize(
    "state", [Slotted("x" * 5000), Packed("x" * 5000), (Shy(), "x" * 5000), (Deadly(), "x" * 5000)]
)
def test_every_kind_of_state_is_measured(state: object) -> None:
    assert 5000 < state_size(state) < 7000


def test_a_long_chain_of_objects_is_measured_without_recursion() -> None:
    chain: tuple[Any, ...] = ()
    for _ in range(50_000):
        chain = (chain,)
    assert state_size(chain) > 0
