"""Row changes: what a projection derives from an event. They are values; making one writes nothing."""

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from handlers.errors import InvalidRow
from handlers.numeric_range import beyond_numeric

if TYPE_CHECKING:
    from handlers.table import Table

__all__ = ["Change", "Delete", "Insert", "Row", "Statement", "Update", "Upsert"]

# SQL that begins or ends a transaction or a part of one. Comments and empty statements may precede it.
_ENDING = re.compile(
    r"(?:[\s;]|--[^\n\r]*[\n\r]|/\*.*?\*/)*(ABORT|BEGIN|COMMIT|END|PREPARE|RELEASE|ROLLBACK|SAVEPOINT|START)\b",
    re.IGNORECASE | re.DOTALL,
)

Row: TypeAlias = dict[str, Any]
"""A row: the value of every column, by the column's name."""


class Insert(msgspec.Struct, frozen=True, kw_only=True):
    """Adds a row whose key must not exist."""

    table: "Table"
    row: Row


class Upsert(msgspec.Struct, frozen=True, kw_only=True):
    """Replaces the row with its key, or adds it."""

    table: "Table"
    row: Row


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """Changes columns of the row with a key, if it exists."""

    table: "Table"
    key: tuple[Any, ...]
    values: Row


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """Deletes the row with a key, if it exists."""

    table: "Table"
    key: tuple[Any, ...]


class Statement(msgspec.Struct, frozen=True):
    """A domain's own statement, for changes that rows by key cannot express, such as a sum.

    It names the projection's tables without a schema, and depends on their rows and its values only: it is run again
    when the projection is rebuilt. Declare the tables that it touches: changes of other tables can then be batched
    across it.

    Attributes:
        sql: The statement, with ``$1``, ``$2`` … for its parameters.
        values: The values of the parameters. They are bound, never written into the statement.
        touches: The tables that it reads or writes; empty, the default, if it may use any of the projection's.

    Raises:
        InvalidRow: The statement is no text or begins or ends a transaction, or the values or tables are no tuple,
            or a value is a number that no column can hold.
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
        for place, value in enumerate(self.values, 1):
            if isinstance(value, Decimal) and (complaint := beyond_numeric(value)) is not None:
                raise InvalidRow(f"${place} of a Statement {complaint}")


Change: TypeAlias = Insert | Upsert | Update | Delete | Statement
"""The types of changes that a projection may return."""
