"""Reads: the parts that one command reads before it is decided."""

from collections.abc import Mapping
from typing import Any

import msgspec

from handlers.part import Part, Reading

__all__ = ["Reads"]


class Reads(msgspec.Struct, frozen=True, gc=False):
    """The parts that a command reads.

    Attributes:
        readings: The readings, in order; each becomes one argument of ``decide``.
        parts: The distinct parts, in the order of their first mention. They are the decision's boundary.
    """

    readings: tuple[Reading[Any], ...]
    parts: tuple[Part[Any], ...]

    def arguments(self, states: Mapping[Part[Any], Any]) -> tuple[Any, ...]:
        """Return the arguments of ``decide`` after the command.

        Args:
            states: The states of all of these parts; those of other parts are ignored.
        """
        return tuple(reading.argument(states) for reading in self.readings)
