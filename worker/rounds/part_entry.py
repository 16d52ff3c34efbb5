"""The part entry: the cached state of one part."""

from typing import Any

import msgspec

from eventstore import OwnRange
from handlers.kept_states import KeptState
from handlers.part import Part
from worker.rounds.own_events import Search

__all__ = ["PartEntry"]


class PartEntry(msgspec.Struct, eq=False, gc=False):
    """The cached state of one part.

    Attributes:
        part: The part.
        search: Its filter, prepared for finding own events.
        kept: Its state at the position of its last read or append; None before it was read.
        state: Its state including own events above that position.
        mark: Another object whenever the state is folded from other events. The state itself cannot be compared for
            that: small numbers and booleans folded from different events are one object in Python.
        ranges: The ranges of numbers in which these own events lie.
        seen: Ordinal of the last own event that is folded in, or was found not to belong.
        events: How many events the state is folded from.
        must_read: Whether an event of another writer was recorded that the state may lack.
        lacks: Sequence number of the newest such event that is known, which the state lacks if it lies above; or 0.
        size: Approximate size of entry and state, in bytes.
        measured: How many events the state was folded from when its size was measured.
        users: How many active commands read it.
        commands: How many commands have read it since the hottest parts were last taken.
        conflicts: How many decisions on it conflicted since then.
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
        """Drop everything that is known of the part."""
        self.kept = self.state = None
        self.mark = object()
        self.ranges = ()
        self.seen = self.events = self.lacks = self.size = self.measured = 0
        self.must_read = False

    @property
    def number(self) -> int:
        """Sequence number up to which the part is known, without gaps or with own ranges."""
        if self.ranges:
            return self.ranges[-1].last.number
        return self.kept.position.number if self.kept is not None else 0
