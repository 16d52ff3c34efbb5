"""Deep comparison: whether two values are equal, and of equal types all the way down.

``1`` and ``True``, a tuple and a list, a set and a frozenset, or a text and an enumeration of texts are often equal for
Python, and yet fold on to something else.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

from pydantic import BaseModel

__all__ = ["Known", "same"]

# Compared by value alone, once the types are equal.
_PLAIN = frozenset({str, int, bool, float, bytes, type(None), UUID, date, timedelta, complex})
# Values that are equal and yet are written as different texts.
_SPELT_APART = frozenset({Decimal, datetime, time})

Known = set[tuple[int, int]]


def same(first: Any, second: Any, known: Known | None = None) -> bool:
    """Tell whether two values are equal and made alike: of the same types, also within collections and objects.

    Args:
        first: One value.
        second: The other.
        known: Remembers pairs of objects that are the same, by their ids, for the next comparison of values that share
            most of what they hold. All of them must still be there then.
    """
    if first is second:
        return True
    kind = type(first)
    if kind is not type(second):
        return False
    if kind in _PLAIN:
        return bool(first == second)
    pair = (id(first), id(second))
    if known is not None and pair in known:
        return True
    compare = _comparison_of(kind)  # type: ignore[arg-type]  # mypy holds no class for hashable
    if not compare(first, second, known):
        return False
    if known is not None:
        known.add(pair)
    return True


def _same_text(first: Any, second: Any, _: Known | None) -> bool:
    # 1.10 and 1.1 are one number, and two texts; so are two zones of one moment.
    return bool(first == second) and str(first) == str(second)


def _same_mapping(first: Mapping[Any, Any], second: Mapping[Any, Any], known: Known | None) -> bool:
    if len(first) != len(second):
        return False
    items = {key: (key, value) for key, value in second.items()}
    for key, value in first.items():
        found = items.get(key)
        if found is None or not _alike(key, found[0], known) or not _alike(value, found[1], known):
            return False
    return True


def _alike(first: Any, second: Any, known: Known | None) -> bool:
    """Do as ``same`` does, for what is mostly plain."""
    kind = type(first)
    if kind is not type(second):
        return False
    return bool(first == second) if kind in _PLAIN else same(first, second, known)


def _same_set(first: AbstractSet[Any], second: AbstractSet[Any], known: Known | None) -> bool:
    members = {member: member for member in second}
    return len(first) == len(second) and all(
        (other := members.get(member, _MISSING)) is not _MISSING and same(member, other, known) for member in first
    )


def _same_sequence(first: Sequence[Any], second: Sequence[Any], known: Known | None) -> bool:
    return len(first) == len(second) and all(same(one, two, known) for one, two in zip(first, second, strict=True))


def _same_model(first: BaseModel, second: BaseModel, known: Known | None) -> bool:
    return (
        _same_attributes(first.__dict__, second.__dict__, known)
        and same(first.__pydantic_extra__, second.__pydantic_extra__, known)
        and same(first.__pydantic_private__, second.__pydantic_private__, known)
    )


def _same_attributes(first: dict[str, Any], second: dict[str, Any], known: Known | None) -> bool:
    if first.keys() != second.keys():
        return False
    return all(_alike(value, second[name], known) for name, value in first.items())


def _same_object(first: Any, second: Any, known: Known | None) -> bool:
    names = [field.name for field in fields(first)] if is_dataclass(first) else []
    if not all(same(getattr(first, name, None), getattr(second, name, None), known) for name in names):
        return False
    if hasattr(first, "__dict__"):
        return _same_attributes(vars(first), vars(second), known)
    return bool(names) or bool(first == second)


_MISSING = object()
_Comparison = Callable[[Any, Any, Known | None], bool]
_COMPARISONS: tuple[tuple[type, _Comparison], ...] = (
    (Enum, lambda first, second, _: first is second),
    (BaseModel, _same_model),
    (Mapping, _same_mapping),
    (AbstractSet, _same_set),
    (Sequence, _same_sequence),
)


@lru_cache(maxsize=1024)
def _comparison_of(kind: type) -> _Comparison:
    if kind in _SPELT_APART:
        return _same_text
    return next((compare for base, compare in _COMPARISONS if issubclass(kind, base)), _same_object)
