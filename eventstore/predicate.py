"""Predicates: one top-level payload field has one scalar value."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, final
from uuid import UUID

import msgspec

from eventstore.errors import InvalidFilter
from eventstore.jsontext import MAX_DIGITS

__all__ = ["P", "Predicate", "Scalar"]

Scalar = str | bool | int | Decimal
"""The types that a predicate's value can have."""

_encode = msgspec.json.Encoder().encode


@final
class Predicate:
    """The payload has the top-level field ``key`` with the scalar ``value``.

    Strings, booleans and numbers are distinct: ``1``, ``"1"`` and ``True`` are three values. Numbers are compared by
    value, as in ``jsonb``: ``1`` and ``Decimal("1.0")`` are one, and make equal predicates.

    Attributes:
        key: The name of the top-level payload field.
        value: The value to compare with, in canonical form.
        fragment: The JSON object ``{"key": value}``; equal predicates have the same text.
    """

    __slots__ = ("fragment", "key", "value")

    key: str
    value: Scalar
    fragment: str

    def __init__(self, key: str, value: Scalar | UUID | date | Enum) -> None:
        """Make a predicate.

        Args:
            key: The name of a top-level payload field.
            value: A string, a boolean, an integer, or a finite ``Decimal``; numbers up to 1,000 digits. A UUID, a date
                or a member of an enumeration of strings or integers stands for its JSON form in a payload.

        Raises:
            InvalidFilter: The key or value has another type (also ``float``, whose decimal digits are ambiguous, and
                ``datetime``, of which there are many spellings), contains a NUL character or a lone surrogate, or is
                not finite.
        """
        plain: Scalar
        if type(key) is str and type(value) is str and "\x00" not in key and "\x00" not in value:
            plain = value
            name: str = key
            form: object = value
        else:
            plain = _simplest(key, value)
            # str() of a member of a string enumeration would give its name.
            name, form = str.__str__(key), _json_form(plain)
        try:
            fragment = _encode({name: form}).decode()
        except UnicodeEncodeError:
            raise InvalidFilter(f"the predicate on {key!r} contains a lone surrogate") from None
        put = object.__setattr__
        put(self, "key", name)
        put(self, "value", plain)
        put(self, "fragment", fragment)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a predicate cannot be changed (tried to set {name})")

    def __eq__(self, other: object) -> bool:
        return self.fragment == other.fragment if isinstance(other, Predicate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fragment)

    def __repr__(self) -> str:
        return f"P({self.key!r}, {self.value!r})"

    def __reduce__(self) -> tuple[type["Predicate"], tuple[str, Scalar]]:
        return Predicate, (self.key, self.value)

    def matches(self, payload: Mapping[str, Any]) -> bool:
        """Return whether a payload has this field with this value."""
        found = payload.get(self.key)
        if type(found) is str:
            return found == self.value
        if found is None:
            return False
        if isinstance(found, bool) or isinstance(self.value, bool):
            return found is self.value
        if isinstance(found, str) or isinstance(self.value, str):
            return isinstance(found, str) and found == self.value
        return isinstance(found, int | Decimal) and found == self.value


P = Predicate
"""`Predicate`, by the name that filters are written with: `P("product", "tea")`."""


def _simplest(key: object, value: object) -> Scalar:
    """Convert equal values into one form, and refuse values that no engine can compare."""
    if not isinstance(key, str):
        raise InvalidFilter(f"a predicate's key is a string, not {type(key).__name__}")
    value = _written(value)
    if isinstance(value, bool):
        plain: Scalar = value
    elif isinstance(value, str):
        plain = str.__str__(value)
    elif isinstance(value, int):
        plain = int(value)
    elif isinstance(value, Decimal):
        if not value.is_finite():
            raise InvalidFilter(f"the predicate on {key!r} must be finite, not {value}")
        if max(abs(value.adjusted()) + 1, len(value.as_tuple().digits)) > MAX_DIGITS:
            raise InvalidFilter(f"the predicate on {key!r} is a number beyond {MAX_DIGITS:,} digits")
        plain = int(value) if value == value.to_integral_value() else _without_trailing_zeros(value)
    else:
        raise InvalidFilter(
            f"the predicate on {key!r} takes a str, bool, int, Decimal, UUID, date or an enumeration of str or int, "
            f"not {type(value).__name__}{_advice(value)}"
        )
    if "\x00" in key or (isinstance(plain, str) and "\x00" in plain):
        raise InvalidFilter(f"the predicate on {key!r} contains a NUL character")
    if isinstance(plain, int) and abs(plain) >= 10**MAX_DIGITS:
        raise InvalidFilter(f"the predicate on {key!r} is a number beyond {MAX_DIGITS:,} digits")
    return plain


def _written(value: object) -> object:
    """Return the JSON form that a payload has for this value, or the value itself."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum) and not isinstance(value, str | int):
        return value.value if isinstance(value.value, str | int) and not isinstance(value.value, bool) else value
    return value


def _advice(value: object) -> str:
    """Return advice for the error message: what to write instead."""
    if value is None:
        return ": no predicate finds a field that is null or missing"
    if isinstance(value, float):
        return f": write Decimal({str(value)!r})" if isfinite(value) else ""
    if isinstance(value, datetime | time | timedelta | bytes):
        return f": write the text that the payload has, such as {msgspec.to_builtins(value)!r}"
    return ""


def _without_trailing_zeros(value: Decimal) -> Decimal:
    # Decimal.normalize would round to the context's precision and make two values equal.
    sign, digits, exponent = value.as_tuple()
    stripped = list(digits)
    power = int(exponent)
    while stripped[-1] == 0:
        stripped.pop()
        power += 1
    return Decimal((sign, tuple(stripped), power))


def _json_form(value: Scalar) -> object:
    return msgspec.Raw(format(value, "f").encode()) if isinstance(value, Decimal) else value
