"""Plain parameters: parses simple values of the command line here, at no cost.

For each parameter, even one that is not given, Typer builds a validator with pydantic. Importing that is a third of the
cost of a short command. So only values that are not simple are left to Typer, which reports what is wrong.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

__all__ = ["read_plainly"]

# Typer's name of the function that returns a parameter's parser.
_ASKED = "get_runtime_param"


def read_plainly(parameters: list[Any]) -> list[Any]:
    """Have simple values of a command's parameters parsed here; return the parameters."""
    for parameter in parameters:
        descriptor = parameter.type_descriptor
        if descriptor.parameter_info.parser is None and _ASKED not in vars(parameter):
            setattr(parameter, _ASKED, _reader(getattr(parameter, _ASKED), descriptor))
    return parameters


def _reader(theirs: Callable[[], Any], descriptor: Any) -> Callable[[], "_Reader"]:
    reader = _Reader(theirs, descriptor)
    return lambda: reader


class _Reader:
    """Stands in for Typer's parser of a parameter."""

    def __init__(self, theirs: Callable[[], Any], descriptor: Any) -> None:
        self._theirs = theirs
        self._kind = descriptor.annotation
        self._least, self._most = descriptor.parameter_info.min, descriptor.parameter_info.max

    def coerce(self, value: Any, param: Any, ctx: typer.Context) -> Any:
        """Return the value to call the command with."""
        if value is not None:
            if self._kind is str and _is_plain(value):
                return value
            if self._kind == list[str] and isinstance(value, list | tuple) and all(map(_is_plain, value)):
                return list(value)
            if self._kind is int and isinstance(value, str) and value.isascii() and value.isdecimal():
                value = int(value)
            if self._kind in (int, float) and isinstance(value, self._kind) and self._is_in_range(value):
                return value
        elif self._kind == list[str]:
            return ()
        elif self._kind in (str, bool, int, float, Path):
            return None
        return self._theirs().coerce(value, param=param, ctx=ctx)

    def _is_in_range(self, value: float) -> bool:
        return (self._least is None or value >= self._least) and (self._most is None or value <= self._most)


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and value.isascii()
