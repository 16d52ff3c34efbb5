"""Reads: what one command reads, before it is decided."""

from collections.abc import Mapping
from typing import Any

import msgspec

from handlers.part import Part, Reading

__all__ = ["Reads"]


class Reads(msgspec.Struct, frozen=True, gc=False):
    """What a command reads.

    Attributes:
        readings: What becomes an argument of ``decide`` each, in order.
        parts: The distinct parts, in the order in which they are named first. They are the decision's boundary.
    """

    readings: tuple[Reading[Any], ...]
    parts: tuple[Part[Any], ...]

    def arguments(self, states: Mapping[Part[Any], Any]) -> tuple[Any, ...]:
        """Return what ``decide`` gets besides the command.

        Args:
            states: The state of each part; of no other part it is used.
        """
        return tuple(reading.argument(states) for reading in self.readings)
