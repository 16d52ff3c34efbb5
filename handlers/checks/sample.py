"""Samples: keys made from the declared types of a view's ``events``, to check its filter before it is used."""

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from handlers.key import KeyParameter

__all__ = ["NoSample", "sample_of"]

_SAMPLES: tuple[tuple[type, Any], ...] = (
    (bool, True),
    (str, "sample"),
    (int, 1),
    (Decimal, Decimal(1)),
    (UUID, UUID(int=1)),
    (date, date(2000, 1, 1)),
)


class NoSample(Exception):
    """Raised by ``sample_of``: the parameter declares no type that has a sample."""


def sample_of(parameter: KeyParameter) -> Any:
    """Return a valid value for a parameter of a key.

    Raises:
        NoSample: The parameter declares no type that has a sample.
    """
    for kind in parameter.types or ():
        if issubclass(kind, Enum) and (members := [each for each in kind if isinstance(each.value, str | int)]):
            return members[0]
        for base, value in _SAMPLES:
            if issubclass(kind, base) and type(value) is kind:
                return value
    raise NoSample(parameter.name)
