"""Key types: the annotations that a view's ``events`` may have for a value of its key."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin
from uuid import UUID

__all__ = ["declared_classes", "refused_class", "reviver", "wrong_class"]

_REFUSED: tuple[tuple[type, str], ...] = (
    (float, "a float, whose decimal digits are ambiguous: use a Decimal or a str"),
    (datetime, "a datetime, which JSON spells in many ways: make the event's field a str, and use the same str"),
    (type(None), "None: a view about everything has no key"),
    (bytes, "bytes: use the str that the event's field holds"),
)
_TAKEN = (str, int, Decimal, UUID, date)


def refused_class(kind: type) -> str | None:
    """Return why a class cannot be a key's, and what to use instead; None if it can."""
    for refused, advice in _REFUSED:
        if issubclass(kind, refused):
            return advice
    if issubclass(kind, Enum):
        members = list(kind)
        is_taken = not members or any(isinstance(member.value, str | int) for member in members)
    else:
        # A common base of several allowed classes may be declared as well.
        is_taken = issubclass(kind, _TAKEN) or any(issubclass(taken, kind) for taken in _TAKEN)
    return None if is_taken else wrong_class(kind)


def wrong_class(kind: type) -> str:
    """Return what to use instead of a class."""
    return f"a {kind.__name__}: use a str, bool, int, Decimal, UUID, date, or an enumeration of str or int"


def declared_classes(annotation: Any) -> tuple[type, ...] | None:
    """Return the classes that an annotation allows; None if they are unknown."""
    annotation = _named(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return tuple(dict.fromkeys(map(type, get_args(annotation))))
    if origin in {Union, UnionType}:
        alternatives = [declared_classes(each) for each in get_args(annotation)]
        if any(each is None for each in alternatives):
            return None
        return tuple(dict.fromkeys(kind for each in alternatives if each is not None for kind in each))
    # A generic class has no values of its own. Values cannot be checked against a protocol.
    kind = origin or annotation
    is_told = isinstance(kind, type) and kind not in {object, Any} and not getattr(kind, "_is_protocol", False)
    return (kind,) if is_told else None


def _named(annotation: Any) -> Any:
    """Resolve aliases and wrappers of an annotation."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":  # of typing since Python 3.12, or of typing_extensions
            annotation = annotation.__value__
        elif isinstance(annotation, TypeVar):
            annotation = annotation.__bound__ or Any
        else:
            return annotation


def reviver(types: tuple[type, ...] | None) -> Callable[[Any], Any] | None:
    """Return the function that converts a scalar into the declared class; None if it is the scalar's own."""
    if types is None or len(types) != 1:
        return None
    (kind,) = types
    if issubclass(kind, Enum):
        return kind if list(kind) else None
    if issubclass(kind, date):
        return kind.fromisoformat
    return kind if issubclass(kind, _TAKEN) and kind not in {str, int, bool} else None
