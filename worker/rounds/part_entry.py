"""The part entry: what is known of one part."""

from typing import Any

from eventstore import OwnRange
from handlers.kept_states import KeptState
from handlers.part import Part
from worker.rounds.own_events import Search

__all__ = ["PartEntry"]


class PartEntry:
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
        users: How many commands are under way that read it.
        commands: How many commands have read it, since the hottest parts were asked for.
        conflicts: How many decisions on it were out of date, since then.
    """

    __slots__ = (
        "commands",
        "conflicts",
        "events",
        "kept",
        "lacks",
        "mark",
        "measured",
        "must_read",
        "part",
        "ranges",
        "search",
        "seen",
        "size",
        "state",
        "users",
    )

    def __init__(self, part: Part[Any], search: Search) -> None:
        self.part = part
        self.search = search
        self.users = 0
        self.commands = 0
        self.conflicts = 0
        self.reset()

    def reset(self) -> None:
        """Know nothing of the part any more."""
        self.kept: KeptState | None = None
        self.state: Any = None
        self.mark = object()
        self.ranges: tuple[OwnRange, ...] = ()
        self.seen = 0
        self.events = 0
        self.must_read = False
        self.lacks = 0
        self.size = 0
        self.measured = 0

    @property
    def number(self) -> int:
        """How far it is known, without gaps or with our own ranges."""
        if self.ranges:
            return self.ranges[-1].last.number
        return self.kept.position.number if self.kept is not None else 0
