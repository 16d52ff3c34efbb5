"""Tables in memory: a projection's rows without a server. They specify the meaning of row changes."""

from collections.abc import Iterable
from typing import Any

from handlers.errors import InvalidRow
from handlers.row_change import Delete, Insert, Row, Update, Upsert
from handlers.table import Table

__all__ = ["RowTables"]


class RowTables:
    """The rows of several tables.

    Args:
        tables: The tables; they begin empty.
    """

    def __init__(self, tables: Iterable[Table]) -> None:
        self._keyed: dict[Table, dict[tuple[Any, ...], Row]] = {}
        self._loose: dict[Table, list[Row]] = {}
        for table in tables:
            if table.key:
                self._keyed[table] = {}
            else:
                self._loose[table] = []

    def apply(self, change: Insert | Upsert | Update | Delete) -> None:
        """Apply a change.

        Raises:
            InvalidRow: An inserted row has a key that exists.
        """
        match change:
            case Insert(table=table, row=row) if not table.key:
                self._loose[table].append(row)
            case Insert(table=table, row=row):
                key = table.key_of(row)
                if key in self._keyed[table]:
                    raise InvalidRow(f"{table.name} has a row with the key {', '.join(map(str, key))} already")
                self._keyed[table][key] = row
            case Upsert(table=table, row=row):
                self._keyed[table][table.key_of(row)] = row
            case Update(table=table, key=key, values=values):
                if key in self._keyed[table]:
                    self._keyed[table][key] = self._keyed[table][key] | values
            case Delete(table=table, key=key):
                self._keyed[table].pop(key, None)

    def rows(self, table: Table) -> list[Row]:
        """Return a table's rows, in the order in which their keys were added."""
        return list(self._keyed[table].values()) if table.key else list(self._loose[table])
