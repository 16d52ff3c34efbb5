"""Snapshots: detect whether a value is changed later."""

from typing import Any

from handlers.comparison import seems_same
from handlers.deep_copy import deep_copy

__all__ = ["Snapshot", "alike"]


class Snapshot:
    """A copy of a value, to compare with later.

    Args:
        value: Any value. If it cannot be copied, it counts as unchanged.
    """

    __slots__ = ("_copied", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        try:
            self._copied: tuple[Any] | None = (deep_copy(value),)
        except Exception:  # noqa: BLE001  any error of a class when it is copied
            self._copied = None

    @property
    def holds(self) -> bool:
        """Whether the value is unchanged."""
        return self._copied is None or alike(self._value, self._copied[0])


def alike(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of equal types at all levels; True if they cannot be compared."""
    try:
        return seems_same(one, other)
    except Exception:  # noqa: BLE001  any error of a class when it is compared
        return True
