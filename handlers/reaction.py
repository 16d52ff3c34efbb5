"""Reactions: what is sent when something has happened, as a pure function from an event to commands."""

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
"""Where what is run for the first time begins: with what is recorded from then on, or with the first event."""

# Ids are the same wherever they are derived, for as long as this is.
_NAMESPACE = UUID("0c3b3f0a-7c59-5b0e-9b4e-6a1f1d9c7e42")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A command of another domain, or for later.

    Attributes:
        command: The command.
        to: The domain that decides it; None for the reaction's own.
        at: When it is to be sent, with a time zone; None for at once. It comes out of the event: a reaction asks no
            clock. What is past by then is sent at once. It needs ``worker schedule run`` for that domain.

    Raises:
        InvalidReaction: It is no command, the domain is no name, or the time has no time zone.
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
    """What is sent when something has happened.

    Attributes:
        name: Up to 50 small letters, digits, ``_`` and ``-``, beginning with a letter. The ids of its commands are
            derived from it: under another name, it is another reaction.
        events: Which events it sees; without bounds on time or number.
        commands: Returns what is sent on account of an event: a command of the same domain, a ``Send``, several of
            these in an order that stays the same, or None. It is pure: it sees the event and nothing else, no clock,
            no database.
        begins: Where it begins when it is run for the first time: at the ``end`` of the log, so that what has
            happened before stays as it is, or at its ``start``.

    Raises:
        InvalidReaction: One of these cannot be; the message says which.
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
        """The same as ``events``."""
        return self.events

    @property
    def described(self) -> str:
        """What it is, with name and place."""
        return f"the reaction {self.name} ({self.place})"

    def sent_by(self, seen: Projected[Any]) -> list[Send]:
        """Return what is sent on account of an event, in order.

        Raises:
            InvalidReaction: It returns something else than commands.
            HandlerCrashed, Exception: Whatever ``commands`` raises.
        """
        with Contained():
            each = several(self.commands(seen), Command | Send)
        for what in each:
            if not isinstance(what, Command | Send):
                raise InvalidReaction(f"commands of {self.described} returns {kind_of(what)}, which is no command")
        return [what if isinstance(what, Send) else Send(command=what) for what in each]

    def command_id(self, domain: str, event: Position, index: int) -> UUID:
        """Return the id of a command: the same whoever derives it, and however often.

        Args:
            domain: The name of the reaction's domain.
            event: The event. In a history that was rewritten, another event with its number has other ids.
            index: Which of the commands that are sent on account of it, from 0.
        """
        return uuid5(_NAMESPACE, f"{domain}/{self.name}/{event}/{index}")
