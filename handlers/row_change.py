"""Changes of rows: what a projection makes of an event. They are values; nothing is written by making one."""

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from handlers.errors import InvalidRow

if TYPE_CHECKING:
    from handlers.table import Table

__all__ = ["Change", "Delete", "Insert", "Row", "Statement", "Update", "Upsert"]

# What of SQL begins or ends a transaction, or a part of one. A comment may stand before it.
_ENDING = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(ABORT|BEGIN|COMMIT|END|PREPARE|RELEASE|ROLLBACK|SAVEPOINT|START)\b",
    re.IGNORECASE | re.DOTALL,
)

Row: TypeAlias = dict[str, Any]
"""A row: every column's value, by the column's name."""


class Insert(msgspec.Struct, frozen=True, kw_only=True):
    """Adds a row that must not be there."""

    table: "Table"
    row: Row


class Upsert(msgspec.Struct, frozen=True, kw_only=True):
    """Puts a row in the place of the one with its key, or adds it."""

    table: "Table"
    row: Row


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """Changes columns of the row with a key, if there is one."""

    table: "Table"
    key: tuple[Any, ...]
    values: Row


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """Takes away the row with a key, if there is one."""

    table: "Table"
    key: tuple[Any, ...]


class Statement(msgspec.Struct, frozen=True):
    """A statement of a domain's own, for what rows by key cannot say, such as a sum.

    It names the projection's tables without a schema, and depends on nothing but their rows and its values: it is run
    again where the projection is built anew. Say which tables it touches: changes of others then need not be written
    before it, one event after the other.

    Attributes:
        sql: The statement, with ``$1``, ``$2`` … for the values.
        values: The values. They are bound, never written into the statement.
        touches: The tables that it reads or writes; empty: perhaps all of the projection's.

    Raises:
        InvalidRow: It is no text, it begins or ends a transaction, or the values or tables are no tuple.
    """

    sql: str
    values: tuple[Any, ...] = ()
    touches: tuple["Table", ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.sql, str) or not self.sql.strip():
            raise InvalidRow(f"a Statement is a text of SQL, not {self.sql!r}")
        if (ending := _ENDING.match(self.sql)) is not None:
            raise InvalidRow(
                f"a Statement is run in the transaction of its checkpoint, and must not be {ending[1].upper()}"
            )
        if not isinstance(self.values, tuple) or not isinstance(self.touches, tuple):
            raise InvalidRow("a Statement takes its values, and what it touches, as tuples; is a comma missing?")


Change: TypeAlias = Insert | Upsert | Update | Delete | Statement
"""What a projection makes of an event."""
