"""The states that one read of several parts found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventstore import Position
from handlers.kept_states import KeptState
from handlers.part import Part

__all__ = ["ReadStates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadStates:
    """The result of one read of several parts.

    Attributes:
        states: The parts that are up to date, with their states.
        failures: The parts whose events or states could not be processed, with the error.
        long: The parts with more new events than are held in memory at once, with their states before.
        position: The head of the log in the snapshot.
        replica: Whether a replica answered.
        events: The number of events that were read for each part.
    """

    states: Mapping[Part[Any], KeptState]
    failures: Mapping[Part[Any], Exception]
    long: Mapping[Part[Any], KeptState]
    position: Position
    replica: bool
    events: Mapping[Part[Any], int]
