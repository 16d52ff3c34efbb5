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
from typing import Any
from uuid import UUID

from pydantic import BaseModel

__all__ = ["same"]

_SCALARS = frozenset(
    {str, int, bool, float, bytes, type(None), Decimal, UUID, date, datetime, time, timedelta, complex}
)
# Values that are equal and yet are written as different texts.
_SPELT_APART = frozenset({Decimal, datetime, time})


def same(first: Any, second: Any) -> bool:
    """Tell whether two values are equal and made alike: of the same types, also within collections and objects."""
    if first is second:
        return True
    kind = type(first)
    if kind is not type(second):
        return False
    if kind in _SCALARS:
        return _same_scalar(first, second)
    for base, compare in _COMPARISONS:
        if isinstance(first, base):
            return compare(first, second)
    return _same_object(first, second)


def _same_scalar(first: Any, second: Any) -> bool:
    # 1.10 and 1.1 are one number, and two texts; so are two zones of one moment.
    return bool(first == second) and (type(first) not in _SPELT_APART or str(first) == str(second))


def _same_mapping(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> bool:
    if len(first) != len(second):
        return False
    keys = {key: key for key in second}
    return all(
        (other := keys.get(key, _MISSING)) is not _MISSING and same(key, other) and same(value, second[key])
        for key, value in first.items()
    )


def _same_set(first: AbstractSet[Any], second: AbstractSet[Any]) -> bool:
    members = {member: member for member in second}
    return len(first) == len(second) and all(
        (other := members.get(member, _MISSING)) is not _MISSING and same(member, other) for member in first
    )


def _same_sequence(first: Sequence[Any], second: Sequence[Any]) -> bool:
    return len(first) == len(second) and all(map(same, first, second))


def _same_model(first: BaseModel, second: BaseModel) -> bool:
    return (
        same(first.__dict__, second.__dict__)
        and same(first.__pydantic_extra__, second.__pydantic_extra__)
        and same(first.__pydantic_private__, second.__pydantic_private__)
    )


def _same_object(first: Any, second: Any) -> bool:
    names = [field.name for field in fields(first)] if is_dataclass(first) else []
    if not all(same(getattr(first, name, None), getattr(second, name, None)) for name in names):
        return False
    if hasattr(first, "__dict__"):
        return same(vars(first), vars(second))
    return bool(names) or bool(first == second)


_MISSING = object()
_COMPARISONS: tuple[tuple[type, Callable[[Any, Any], bool]], ...] = (
    (Enum, lambda first, second: first is second),
    (BaseModel, _same_model),
    (Mapping, _same_mapping),
    (AbstractSet, _same_set),
    (Sequence, _same_sequence),
)
