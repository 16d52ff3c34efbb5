"""Places: where in a domain's own code a function stands, for messages to the person who wrote it."""

import inspect
import sys
from collections.abc import Callable
from functools import partial
from traceback import walk_tb
from types import FrameType
from typing import Any

__all__ = ["place_of", "raised_at"]

_OURS = frozenset({"eventstore", "handlers", "worker"})
# Domains that come along: their code is a domain's own.
_SAMPLES = ("handlers.library", "handlers.warehouse")
# What stands between our code and a domain's when it calls back.
_BETWEEN = frozenset({"pydantic", *sys.stdlib_module_names})


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


def raised_at(failure: BaseException) -> tuple[str, str] | None:
    """Return the innermost line of a domain's own code that led to a failure; None if none did.

    Args:
        failure: What was raised. Where no line of a domain leads to it, what caused it is looked at.

    Returns:
        The function's name, and file and line.
    """
    at: BaseException | None = failure
    while at is not None:
        frames = [(frame, line, _module(frame)) for frame, line in walk_tb(at.__traceback__)]
        entry = next((module for _, _, module in frames if _is_foreign(module)), None)
        if entry is not None:
            package = entry.rpartition(".")[0] or entry
            frame, line, _ = next(each for each in reversed(frames) if f"{each[2]}.".startswith(f"{package}."))
            return frame.f_code.co_name, f"{frame.f_code.co_filename}:{line}"
        at = at.__cause__
    return None


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_foreign(module: str) -> bool:
    """Tell whether a module belongs to a domain: what our code calls, and is neither ours nor a library between."""
    top = module.partition(".")[0]
    if top in _OURS:
        return f"{module}.".startswith(tuple(f"{sample}." for sample in _SAMPLES))
    return top not in _BETWEEN
