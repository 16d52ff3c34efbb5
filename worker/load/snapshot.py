"""Snapshots: how a value was, to see later whether somebody changed it."""

from typing import Any

from handlers.comparison import seems_same
from handlers.deep_copy import deep_copy

__all__ = ["Snapshot", "alike"]


class Snapshot:
    """How a value is now.

    Args:
        value: Any value. What cannot be copied is taken for unchanged later on.
    """

    __slots__ = ("_copied", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        try:
            self._copied: tuple[Any] | None = (deep_copy(value),)
        except Exception:  # noqa: BLE001  whatever a class of somebody's does when it is copied
            self._copied = None

    @property
    def holds(self) -> bool:
        """Whether the value is as it was."""
        return self._copied is None or alike(self._value, self._copied[0])


def alike(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of equal types all the way down, as far as they can be compared."""
    try:
        return seems_same(one, other)
    except Exception:  # noqa: BLE001  whatever a class of somebody's does when it is compared
        return True
