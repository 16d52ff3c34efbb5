"""Places: where in a domain's own code a function stands, for messages to the person who wrote it."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["place_of"]


def place_of(function: Callable[..., Any]) -> str:
    """Return the file and line where a function begins; its name, if it has none."""
    inner = inspect.unwrap(function)
    while isinstance(inner, partial):
        inner = inner.func
    code = getattr(inner, "__code__", None)
    if code is None:
        # An object that can be called: where its class says how.
        code = getattr(vars(type(inner)).get("__call__"), "__code__", None)
    if code is None:
        return f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', repr(inner))}"
    return f"{code.co_filename}:{code.co_firstlineno}"
