"""The glance: what one look at the store brought."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventstore import Position
from handlers.kept_states import KeptState
from handlers.part import Part

__all__ = ["Glance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What one look at the store brought.

    Attributes:
        states: The parts that are up to date, with their states.
        failures: The parts whose events or states cannot be made sense of, and why.
        long: The parts of which more is new than is held in memory at once, with what is known of them before.
        position: How far the log was.
        replica: Whether a replica answered.
        events: How many events of a part were read.
    """

    states: Mapping[Part[Any], KeptState]
    failures: Mapping[Part[Any], Exception]
    long: Mapping[Part[Any], KeptState]
    position: Position
    replica: bool
    events: Mapping[Part[Any], int]
