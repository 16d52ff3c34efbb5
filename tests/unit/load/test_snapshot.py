"""A snapshot detects changes at any depth, and reports none if values cannot be copied or compared."""

from dataclasses import dataclass, field
from typing import Any

from worker.load.snapshot import Snapshot, alike


@dataclass
class Nested:
    inner: Any = field(default=None, compare=False)


class Refusing:
    def __init__(self) -> None:
        self.value = self

    def __eq__(self, other: object) -> bool:
        raise TypeError("never")

    def __hash__(self) -> int:
        raise TypeError("never")


def test_it_detects_a_nested_change() -> None:
    state = Nested([Nested({"a": [1]})])
    snapshot = Snapshot(state)
    assert snapshot.holds
    state.inner[0].inner["a"].append(2)
    assert not snapshot.holds


def test_values_that_cannot_be_copied_count_as_unchanged() -> None:
    state = [(each for each in "ab")]
    snapshot = Snapshot(state)
    state.clear()
    assert snapshot.holds


def test_an_equal_value_of_another_type_is_a_change() -> None:
    assert not alike({"a": (1,)}, {"a": (True,)})


def test_values_that_cannot_be_compared_count_as_unchanged() -> None:
    one: list[Any] = []
    other: list[Any] = [1]
    for _ in range(100_000):
        one, other = [one], [other]
    assert alike(one, other)
    assert alike([{Refusing: 1}, Refusing()], [{Refusing: 1}, Refusing()])
