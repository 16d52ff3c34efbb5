"""Deep comparison: whether two values are equal and of equal types at every level.

Python often treats ``1`` and ``True``, a tuple and a list, a set and a frozenset, or a string and a string enumeration
as equal, although they fold on to different states.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache
from inspect import getattr_static
from types import BuiltinFunctionType, FunctionType, WrapperDescriptorType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from pydantic_core import TzInfo

__all__ = ["Known", "same", "seems_same"]

# Compared by value alone, once the types are equal.
_PLAIN = frozenset({str, int, bool, float, bytes, type(None), UUID, date, timedelta, complex})

Known = set[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Terms:
    """The options of a comparison.

    Attributes:
        known: The ids of pairs of objects that were found equal; None to remember none.
        opaque: Whether objects of one type without anything to compare count as equal.
    """

    known: Known | None
    opaque: bool


_STRICT = _Terms(None, opaque=False)
_LENIENT = _Terms(None, opaque=True)


def same(first: Any, second: Any, known: Known | None = None) -> bool:
    """Return whether two values are equal and of the same types, also within collections and objects.

    Values that an object has computed by ``cached_property`` do not count.

    Args:
        first: The first value.
        second: The second value.
        known: Collects the ids of pairs of objects that are equal, for a later comparison of values that share most of
            their content. The objects must still exist then. By default None.
    """
    return _same(first, second, _STRICT if known is None else _Terms(known, opaque=False))


def seems_same(first: Any, second: Any) -> bool:
    """Compare like ``same``, to find what changed since a copy was made.

    Objects of one type without anything to compare, such as ``object()``, count as equal: a copy is a new one.
    """
    return _same(first, second, _LENIENT)


def _same(first: Any, second: Any, terms: _Terms) -> bool:
    if first is second:
        return True
    kind = type(first)
    if kind is not type(second):
        return False
    if kind in _PLAIN:
        return bool(first == second)
    known = terms.known
    pair = (id(first), id(second))
    if known is not None and pair in known:
        return True
    compare = _comparison_of(kind)  # type: ignore[arg-type]  # mypy holds no class for hashable
    if not compare(first, second, terms):
        return False
    if known is not None:
        known.add(pair)
    return True


def _equal(first: Any, second: Any, _: _Terms) -> bool:
    return bool(first == second)


def _same_text(first: Any, second: Any, _: _Terms) -> bool:
    # 1.10 and 1.1 are one number, but two texts.
    return bool(first == second) and str(first) == str(second)


def _same_moment(first: datetime | time, second: datetime | time, terms: _Terms) -> bool:
    # One moment has a different text in each zone. An hour that a clock shows twice has one text for both, which only
    # fold distinguishes.
    is_alike = _same_text(first, second, terms) and first.fold == second.fold
    return is_alike and _same_zone(first.tzinfo, second.tzinfo, terms)


def _same_zone(first: tzinfo | None, second: tzinfo | None, terms: _Terms) -> bool:
    # Fixed offsets differ by the offset alone; a place's offset changes over the year.
    fixed = (timezone, TzInfo)
    return (isinstance(first, fixed) and isinstance(second, fixed)) or _same(first, second, terms)


def _same_place(first: ZoneInfo, second: ZoneInfo, terms: _Terms) -> bool:
    return first.key == second.key and (first.key is not None or terms.opaque)


def _same_deque(first: deque[Any], second: deque[Any], terms: _Terms) -> bool:
    return first.maxlen == second.maxlen and _same_sequence(first, second, terms)


def _same_default(first: defaultdict[Any, Any], second: defaultdict[Any, Any], terms: _Terms) -> bool:
    return _same(first.default_factory, second.default_factory, terms) and _same_mapping(first, second, terms)


def _same_mapping(first: Mapping[Any, Any], second: Mapping[Any, Any], terms: _Terms) -> bool:
    if len(first) != len(second):
        return False
    items = {key: (key, value) for key, value in second.items()}
    for key, value in first.items():
        found = items.get(key)
        if found is None or not _alike(key, found[0], terms) or not _alike(value, found[1], terms):
            return False
    return True


def _alike(first: Any, second: Any, terms: _Terms) -> bool:
    """Compare like ``_same``, faster for plain values."""
    kind = type(first)
    if kind is not type(second):
        return False
    return bool(first == second) if kind in _PLAIN else _same(first, second, terms)


def _same_set(first: AbstractSet[Any], second: AbstractSet[Any], terms: _Terms) -> bool:
    members = {member: member for member in second}
    return len(first) == len(second) and all(
        (other := members.get(member, _MISSING)) is not _MISSING and _same(member, other, terms) for member in first
    )


def _same_sequence(first: Sequence[Any], second: Sequence[Any], terms: _Terms) -> bool:
    return len(first) == len(second) and all(_same(one, two, terms) for one, two in zip(first, second, strict=True))


def _same_model(first: BaseModel, second: BaseModel, terms: _Terms) -> bool:
    return (
        _same_attributes(first, second, terms)
        and _same(first.__pydantic_extra__, second.__pydantic_extra__, terms)
        and _same(first.__pydantic_private__, second.__pydantic_private__, terms)
    )


def _same_attributes(first: Any, second: Any, terms: _Terms, besides: frozenset[str] = frozenset()) -> bool:
    """Compare the ``__dict__`` of two objects of one class, without names that were compared before."""
    one, two = vars(first), vars(second)
    kind: Any = type(first)
    if computed := _computed(kind) | besides:
        one, two = ({name: value for name, value in held.items() if name not in computed} for held in (one, two))
    if one.keys() != two.keys():
        return False
    return all(_alike(value, two[name], terms) for name, value in one.items())


def _same_named(first: Any, second: Any, names: Iterable[str], terms: _Terms) -> bool:
    return all(_same(getattr(first, name, None), getattr(second, name, None), terms) for name in names)


def _same_object(first: Any, second: Any, terms: _Terms) -> bool:
    kind: Any = type(first)
    by_identity = kind.__eq__ is object.__eq__
    # A number, for instance, has its value in no attribute.
    by_value = not by_identity and isinstance(kind.__eq__, WrapperDescriptorType)
    if by_value and first != second:
        return False
    has_attributes = hasattr(first, "__dict__")
    if is_dataclass(first):
        names: tuple[str, ...] = tuple(field.name for field in fields(first))
    else:
        # A class with slots and a comparison of its own may fill some of them lazily.
        names = _slots(kind) if has_attributes or by_identity else ()
    if not _same_named(first, second, names, terms):
        return False
    if has_attributes:
        # A field with its default may exist in the class only.
        return _same_attributes(first, second, terms, frozenset(names))
    if names or by_value:
        return True
    return terms.opaque if by_identity else bool(first == second)


@lru_cache(maxsize=1024)
def _computed(kind: type) -> frozenset[str]:
    """Return the names of a class's cached properties."""
    names = (name for base in kind.__mro__ for name in vars(base))
    return frozenset(name for name in names if isinstance(getattr_static(kind, name), cached_property))


@lru_cache(maxsize=1024)
def _slots(kind: type) -> tuple[str, ...]:
    """Return the names of a class's slots, as its objects have them."""
    found: list[str] = []
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            private = name.startswith("__") and not name.endswith("__")
            found.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return tuple(name for name in found if name not in {"__dict__", "__weakref__"})


_MISSING = object()
_Comparison = Callable[[Any, Any, _Terms], bool]
_COMPARISONS: tuple[tuple[type | tuple[type, ...], _Comparison], ...] = (
    ((Enum, type, FunctionType, BuiltinFunctionType), _equal),
    (ZoneInfo, _same_place),
    (BaseModel, _same_model),
    (defaultdict, _same_default),
    (deque, _same_deque),
    (Mapping, _same_mapping),
    (AbstractSet, _same_set),
    (Sequence, _same_sequence),
)
# Types whose values can be equal although their texts differ.
_SPELT_APART: dict[type, _Comparison] = {Decimal: _same_text, datetime: _same_moment, time: _same_moment}


@lru_cache(maxsize=1024)
def _comparison_of(kind: type) -> _Comparison:
    if kind in _SPELT_APART:
        return _SPELT_APART[kind]
    return next((compare for base, compare in _COMPARISONS if issubclass(kind, base)), _same_object)
