"""Declared returns: the type that a function declares to return."""

import inspect
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, get_origin, get_type_hints

__all__ = ["declared_return", "returns_by_mistake"]


def declared_return(function: Callable[..., Any]) -> Any:
    """Return the type that a function declares to return; None if it declares none, or ``Any`` or ``object``."""
    if inspect.isclass(function):
        return function
    try:
        returned = get_type_hints(function, include_extras=True).get("return")
    except (NameError, TypeError, AttributeError):
        return None
    return None if returned in {Any, object} else returned


def returns_by_mistake(function: Callable[..., Any]) -> str | None:
    """Return what a function that has returned None declares to return instead.

    Returns:
        The type's name; None if the function declares no type, or one that includes None.
    """
    returned = declared_return(function)
    kind = get_origin(returned) or returned
    if not isinstance(kind, type) or kind in {NoneType, UnionType}:
        return None
    try:
        if isinstance(None, kind):  # for instance some abstract classes and protocols
            return None
    except TypeError:  # a protocol that supports no isinstance check
        return None
    return returned.__name__ if isinstance(returned, type) and returned is kind else str(returned)
