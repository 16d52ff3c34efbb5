"""Places: the file and line of a domain's own function, for messages to its author."""

import inspect
import sys
from collections.abc import Callable, Iterable
from functools import partial
from traceback import walk_tb
from types import FrameType
from typing import Any

__all__ = ["place_of", "raised_at"]

_OURS = frozenset({"eventstore", "handlers", "worker"})
# The bundled domains count as a domain's own code.
_SAMPLES = ("handlers.library", "handlers.warehouse")
# Packages that call a domain's code on the framework's behalf.
_BETWEEN = frozenset({"pydantic"})
# Packages that call the framework.
_RUNNERS = frozenset({"uvloop", "typer", *sys.stdlib_module_names})


def place_of(function: Callable[..., Any]) -> str:
    """Return the file and line where a function begins; its qualified name if it has none."""
    inner = inspect.unwrap(function)
    while isinstance(inner, partial):
        inner = inner.func
    code = getattr(inner, "__code__", None)
    if code is None:
        # A callable object: the place of its class's ``__call__``.
        code = getattr(vars(type(inner)).get("__call__"), "__code__", None)
    if code is None:
        return f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', repr(inner))}"
    return f"{code.co_filename}:{code.co_firstlineno}"


def raised_at(failure: BaseException) -> tuple[str, str] | None:
    """Return the innermost line of a domain's own code that led to an error; None if there is none.

    Args:
        failure: The error. If no line of a domain led to it, its causes are searched.

    Returns:
        The function's name, and its file and line.
    """
    at: BaseException | None = failure
    while at is not None:
        frames = [(frame, line, _module(frame)) for frame, line in walk_tb(at.__traceback__)]
        entry = _entry([module for _, _, module in frames])
        if entry is not None:
            package = entry.rpartition(".")[0] or entry
            frame, line, _ = next(each for each in reversed(frames) if f"{each[2]}.".startswith(f"{package}."))
            return frame.f_code.co_name, f"{frame.f_code.co_filename}:{line}"
        at = at.__cause__
    return None


def _entry(modules: Iterable[str]) -> str | None:
    """Return the module at which the framework last called a domain's code; None if it did not."""
    entry, is_ours = None, False
    for module in modules:
        if module.partition(".")[0] in _RUNNERS:
            continue
        was_ours, is_ours = is_ours, _is_ours(module)
        if was_ours and not is_ours:
            entry = module
    return entry


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_ours(module: str) -> bool:
    """Return whether a module belongs to the framework or calls on its behalf, and to no domain."""
    if f"{module}.".startswith(tuple(f"{sample}." for sample in _SAMPLES)):
        return False
    return module.partition(".")[0] in _OURS | _BETWEEN
