"""Reactions: commands that are sent after events, derived by a pure function."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, final, get_args
from uuid import UUID, uuid5

from eventstore import Filter, Position
from handlers.checks.followers import check_events, check_name
from handlers.contained import Contained
from handlers.errors import InvalidReaction
from handlers.kind import kind_of
from handlers.model import Command
from handlers.place import place_of
from handlers.plain_function import refusal
from handlers.projection import Projected
from handlers.several import several

__all__ = ["Begins", "Reaction", "Send"]

Begins: TypeAlias = Literal["end", "start"]
"""Where a first run begins: at the end of the log, with events recorded from then on, or at its start."""

# Derived ids stay the same as long as this does.
_NAMESPACE = UUID("0c3b3f0a-7c59-5b0e-9b4e-6a1f1d9c7e42")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A command for another domain, or for a later time.

    Attributes:
        command: The command to send.
        to: The name of the domain that decides it; None, the default, for the reaction's own.
        at: When to send it, with a time zone; None, the default, for at once. It is derived from the event, since a
            reaction uses no clock. A command whose time has passed is sent at once. It requires ``worker schedule run``
            for the target domain.

    Raises:
        InvalidReaction: ``command`` is no command, the domain's name is invalid, or the time has no time zone.
    """

    command: Command
    to: str | None = None
    at: datetime | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.command, Command):
            raise InvalidReaction(f"Send takes a command, not {kind_of(self.command)}")
        if self.to is not None:
            check_name("domain", self.to, InvalidReaction)
        if self.at is not None and (not isinstance(self.at, datetime) or self.at.utcoffset() is None):
            raise InvalidReaction(f"Send takes as its time a datetime with a time zone, not {self.at!r}")


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reaction:
    """Commands that are sent after events.

    Attributes:
        name: The reaction's name: up to 50 small letters, digits, ``_`` and ``-``, beginning with a letter. The ids of
            its commands are derived from it, so that a renamed reaction sends its commands again.
        events: The filter that selects the events; without bounds on time or number.
        commands: Returns the commands for an event: a command of the same domain, a ``Send``, several of these in a
            stable order, or None. It is pure: it uses the event and nothing else, no clock, no database.
        begins: Where its first run begins: at the ``end`` of the log, the default, so that it ignores earlier events,
            or at its ``start``.

    Raises:
        InvalidReaction: An attribute is invalid; the message says which.
    """

    name: str
    events: Filter
    commands: Callable[[Projected[Any]], Command | Send | Iterable[Command | Send] | None]
    begins: Begins = "end"

    def __post_init__(self) -> None:
        check_name("reaction", self.name, InvalidReaction)
        check_events(f"reaction {self.name}", self.events, InvalidReaction)
        if (problem := refusal(self.commands)) is not None:
            raise InvalidReaction(f"the reaction {self.name} needs a function as its commands, {problem}")
        if self.begins not in get_args(Begins):
            raise InvalidReaction(f"the reaction {self.name} begins at the end or at the start, not at {self.begins!r}")

    @property
    def place(self) -> str:
        """The file and line of its function."""
        return place_of(self.commands)

    @property
    def followed(self) -> Filter:
        """The reaction's ``events``."""
        return self.events

    @property
    def described(self) -> str:
        """The reaction's name and place, for messages."""
        return f"the reaction {self.name} ({self.place})"

    def sent_by(self, seen: Projected[Any]) -> list[Send]:
        """Return the commands for an event, in order.

        Raises:
            InvalidReaction: The function returns anything but commands.
            HandlerCrashed, Exception: ``commands`` raised an error.
        """
        with Contained():
            each = several(self.commands(seen), Command | Send)
        for what in each:
            if not isinstance(what, Command | Send):
                raise InvalidReaction(f"commands of {self.described} returns {kind_of(what)}, which is no command")
        return [what if isinstance(what, Send) else Send(command=what) for what in each]

    def command_id(self, domain: str, event: Position, index: int) -> UUID:
        """Return the id of a command; every derivation gives the same id.

        Args:
            domain: The name of the reaction's domain.
            event: The event's position. In a rewritten history, another event with its number has other ids.
            index: The index of the command among those for the event, from 0.
        """
        return uuid5(_NAMESPACE, f"{domain}/{self.name}/{event}/{index}")
