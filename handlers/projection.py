"""Projections: read models in tables, derived from events by a pure function."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, final

import msgspec

from eventstore import Filter
from eventstore.jsontext import canonical
from handlers.checks.followers import check_events, check_name
from handlers.contained import Contained
from handlers.errors import InvalidProjection, InvalidRow
from handlers.kind import kind_of
from handlers.model import DomainEvent
from handlers.place import place_of
from handlers.plain_function import refusal
from handlers.row_change import Change, Statement
from handlers.several import several
from handlers.table import Table

__all__ = ["Projected", "Projection"]

E = TypeVar("E", bound=DomainEvent)

# The largest value of PostgreSQL's integer.
_MOST = 2**31 - 1


class Projected(msgspec.Struct, Generic[E], frozen=True, kw_only=True):
    """A recorded event, as projections and reactions get it.

    Attributes:
        event: The event, in its newest version.
        number: The event's sequence number.
        occurred_at: When the event happened, in UTC.
        metadata: The JSON object about the recording, such as the command's id.
    """

    event: E
    number: int
    occurred_at: datetime
    metadata: dict[str, Any]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """A read model: the events that it is derived from, its tables, and the function that fills them.

    Attributes:
        name: The projection's name: up to 50 small letters, digits, ``_`` and ``-``, beginning with a letter.
        events: The filter that selects the events; without bounds on time or number.
        tables: The tables that it fills; no other projection fills them.
        changes: Returns the changes for an event: one change, several in order, or None. It is pure: it uses the event
            and nothing else, no clock, no database.
        version: The version, by default 1. Raise it whenever ``changes`` or the layout of a table changes: the tables
            are then built again from the log, beside those that readers use, and replace them.

    Raises:
        InvalidProjection: An attribute is invalid; the message says which.
    """

    name: str
    events: Filter
    tables: tuple[Table, ...]
    changes: Callable[[Projected[Any]], Change | Iterable[Change] | None]
    version: int = 1

    def __post_init__(self) -> None:
        check_name("projection", self.name, InvalidProjection)
        if type(self.version) is not int or not 1 <= self.version <= _MOST:
            raise InvalidProjection(
                f"the projection {self.name} has the version {self.version!r}; it is an integer from 1 to {_MOST}"
            )
        check_events(f"projection {self.name}", self.events, InvalidProjection)
        if isinstance(self.tables, str | Table) or not isinstance(self.tables, Iterable):
            raise InvalidProjection(f"the projection {self.name} takes a tuple of tables; is a comma missing?")
        object.__setattr__(self, "tables", tuple(self.tables))
        for table in self.tables:
            if not isinstance(table, Table):
                raise InvalidProjection(
                    f"the projection {self.name} lists {table!r} among its tables, which is no Table"
                )
        if not self.tables:
            raise InvalidProjection(f"the projection {self.name} has no table: list them, as tables=(…,)")
        names = [table.name for table in self.tables]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InvalidProjection(f"the projection {self.name} has two tables with one name: {twice[0]}")
        if (problem := refusal(self.changes)) is not None:
            raise InvalidProjection(f"the projection {self.name} needs a function as its changes, {problem}")

    @property
    def layout(self) -> bytes:
        """A digest of 16 bytes of the tables' layout."""
        text = canonical([table.description for table in sorted(self.tables, key=lambda table: table.name)])
        return hashlib.blake2b(text, digest_size=16).digest()

    @property
    def place(self) -> str:
        """The file and line of its function."""
        return place_of(self.changes)

    @property
    def followed(self) -> Filter:
        """The projection's ``events``."""
        return self.events

    @property
    def described(self) -> str:
        """The projection's name and place, for messages."""
        return f"the projection {self.name} ({self.place})"

    def changed_by(self, seen: Projected[Any]) -> list[Change]:
        """Return the changes for an event, in order.

        Raises:
            InvalidRow: The function returns anything but changes of the projection's tables.
            HandlerCrashed, Exception: ``changes`` raised an error.
        """
        with Contained():
            changes = several(self.changes(seen), Change)
        for change in changes:
            if not isinstance(change, Change):
                raise InvalidRow(f"changes of {self.described} returns {kind_of(change)}, which changes no table")
            if not isinstance(change, Statement) and change.table not in self.tables:
                raise InvalidRow(
                    f"the projection {self.name} ({self.place}) changes the table {change.table.name}, which is none "
                    "of its own; add it to its tables"
                )
        return changes
