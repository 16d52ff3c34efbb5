"""The part entry: what is known of one part."""

from typing import Any

import msgspec

from eventstore import OwnRange
from handlers.kept_states import KeptState
from handlers.part import Part
from worker.rounds.own_events import Search

__all__ = ["PartEntry"]


class PartEntry(msgspec.Struct, eq=False, gc=False):
    """What is known of one part.

    Attributes:
        part: The part.
        search: How our own events of it are found.
        kept: Its state at its position; None before it was read.
        state: Its state with our own events above that position.
        mark: Another one whenever the state is folded from other events. The state itself does not tell: counts and
            truths that came of different events are one object for Python.
        ranges: Where these events lie.
        seen: Up to which of our own events the state is folded.
        events: How many events it is folded from.
        must_read: Whether somebody else's event came in that the state may lack.
        lacks: The number of somebody else's event that it is known to lack, if it lies above.
        size: About how many bytes it has with its state.
        measured: How many events the state was folded from when that was measured.
        users: How many commands are under way that read it.
        commands: How many commands have read it, since the hottest parts were asked for.
        conflicts: How many decisions on it were out of date, since then.
    """

    part: Part[Any]
    search: Search
    kept: KeptState | None = None
    state: Any = None
    mark: object = msgspec.field(default_factory=object)
    ranges: tuple[OwnRange, ...] = ()
    seen: int = 0
    events: int = 0
    must_read: bool = False
    lacks: int = 0
    size: int = 0
    measured: int = 0
    users: int = 0
    commands: int = 0
    conflicts: int = 0

    def reset(self) -> None:
        """Know nothing of the part any more."""
        self.kept = self.state = None
        self.mark = object()
        self.ranges = ()
        self.seen = self.events = self.lacks = self.size = self.measured = 0
        self.must_read = False

    @property
    def number(self) -> int:
        """How far it is known, without gaps or with our own ranges."""
        if self.ranges:
            return self.ranges[-1].last.number
        return self.kept.position.number if self.kept is not None else 0
