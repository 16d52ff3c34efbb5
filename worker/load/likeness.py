"""Likeness: whether two states or events are the same, down to the types of what they are made of."""

import copy
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["Snapshot", "alike"]

_NO_ATTRIBUTES = frozenset({"__dict__", "__weakref__"})
_BY_IDENTITY: object = object.__eq__


class Snapshot:
    """How a value is now, to see later whether somebody changed it.

    Args:
        value: Any value. What cannot be copied is taken for unchanged later on.
    """

    __slots__ = ("_copied", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        try:
            self._copied: tuple[Any] | None = (copy.deepcopy(value),)
        except Exception:  # noqa: BLE001  whatever a class of somebody's does when it is copied
            self._copied = None

    @property
    def holds(self) -> bool:
        """Whether the value is as it was."""
        return self._copied is None or alike(self._value, self._copied[0])


def alike(one: Any, other: Any) -> bool:
    """Tell whether two values are the same.

    Values are compared part by part, so that a class without ``__eq__`` is compared by its attributes, and ``1``,
    ``True`` and ``1.0`` are three values. What cannot be compared counts as the same.
    """
    try:
        return _alike(one, other)
    except Exception:  # noqa: BLE001  whatever a class of somebody's does when it is compared
        return True


def _alike(one: Any, other: Any) -> bool:  # noqa: PLR0911  one return a kind of value
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, str | bytes | int):
        return bool(one == other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_alike(value, other[key]) for key, value in one.items())
    if isinstance(one, AbstractSet):
        return bool(one == other) or any(_is_compared_by_identity(each) for each in one)
    if isinstance(one, Sequence):
        return len(one) == len(other) and all(map(_alike, one, other))
    if is_dataclass(one):
        return all(_alike(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    attributes = _attributes(one)
    if attributes is not None and (_is_compared_by_identity(one) or hasattr(one, "__pydantic_fields_set__")):
        return _alike(attributes, _attributes(other))
    if _is_compared_by_identity(one):
        return True
    # What is unequal to itself, as not-a-number is, tells nothing.
    return bool(one == other) or bool(one != one)  # noqa: PLR0124  that is the question


def _is_compared_by_identity(value: Any) -> bool:
    return type(value).__eq__ is _BY_IDENTITY


def _attributes(value: Any) -> dict[str, Any] | None:
    """Return a value's own attributes; None if it has no place for any."""
    slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
    if not slots and not hasattr(value, "__dict__"):
        return None
    return {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(value, "__dict__", {})


def _slots(kind: type) -> tuple[str, ...]:
    found = kind.__dict__.get("__slots__", ())
    names = (found,) if isinstance(found, str) else tuple(found)
    return tuple(name for name in names if name not in _NO_ATTRIBUTES and not name.startswith("__pydantic"))
