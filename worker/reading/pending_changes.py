"""Pending changes: the changes of many events, merged to one for each row, so that few statements write them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from handlers import Change, Delete, Insert, InvalidRow, Row, Statement, Table, Update, Upsert

__all__ = ["PendingChanges", "Step", "TableChanges"]

_Key = tuple[Any, ...]


@dataclass(slots=True)
class TableChanges:
    """The changes of a table's rows. They are written in this order: inserts, then the others, each key once.

    Attributes:
        inserts: Rows that must not exist before, by key.
        upserts: Rows that exist afterwards, whether or not they did before, by key.
        updates: Changed columns of rows, applied if the row exists, by key.
        deletes: Keys of rows that do not exist afterwards.
    """

    inserts: dict[_Key, Row] = field(default_factory=dict)
    upserts: dict[_Key, Row] = field(default_factory=dict)
    updates: dict[_Key, Row] = field(default_factory=dict)
    deletes: dict[_Key, None] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def add(self, change: Insert | Upsert | Update | Delete) -> bool:
        """Merge a change with those before it; return whether it can be written together with them.

        Raises:
            InvalidRow: It inserts a row that exists.
        """
        match change:
            case Upsert(table=table, row=row):
                self._put(table.key_of(row), row)
            case Update(key=key, values=values):
                self._update(key, values)
            case Delete(key=key):
                self._delete(key)
            case Insert(table=table, row=row):
                if not table.key:
                    self.rows.append(row)
                    return True
                return self._insert(table, table.key_of(row), row)
        return True

    def _put(self, key: _Key, row: Row) -> None:
        # What is upserted is written after the inserts: a row that was inserted, deleted and put again is in both.
        if key in self.inserts and key not in self.deletes and key not in self.upserts:
            self.inserts[key] = row
            return
        self.updates.pop(key, None)
        self.deletes.pop(key, None)
        self.upserts[key] = row

    def _update(self, key: _Key, values: Row) -> None:
        if key in self.deletes:
            return
        for held in (self.upserts, self.inserts, self.updates):
            if (row := held.get(key)) is not None:
                held[key] = row | values
                return
        self.updates[key] = values

    def _delete(self, key: _Key) -> None:
        self.upserts.pop(key, None)
        self.updates.pop(key, None)
        self.deletes[key] = None

    def _insert(self, table: Table, key: _Key, row: Row) -> bool:
        if key in self.deletes:
            self._put(key, row)
            return True
        if key in self.inserts or key in self.upserts:
            raise InvalidRow(f"{table.name} has a row with the key {', '.join(map(str, key))} already")
        if key in self.updates:
            return False  # whether the row exists is only known to the table
        self.inserts[key] = row
        return True


@dataclass(slots=True)
class Step:
    """Changes that are written together: first the rows of tables, then the domain's own statements, in order.

    Attributes:
        tables: The changes of rows, by table.
        statements: The domain's own statements.
    """

    tables: dict[Table, TableChanges] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    _touched: set[str] = field(default_factory=set)
    _touches_all: bool = False

    def add(self, change: Change) -> bool:
        """Merge a change with those before it; return whether it can be written together with them.

        Raises:
            InvalidRow: It inserts a row that exists.
        """
        if isinstance(change, Statement):
            self.statements.append(change)
            self._touched.update(table.name for table in change.touches)
            self._touches_all = self._touches_all or not change.touches
            return True
        if self._touches_all or change.table.name in self._touched:
            return False  # an earlier statement must see the table without it
        return self.tables.setdefault(change.table, TableChanges()).add(change)


class PendingChanges:
    """Changes in order, merged to few steps.

    Attributes:
        steps: The steps, in order.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def add(self, changes: Iterable[Change]) -> None:
        """Add an event's changes.

        Raises:
            InvalidRow: A change inserts a row that exists. The changes before it stay added.
        """
        for change in changes:
            if not self.steps or not self.steps[-1].add(change):
                self.steps.append(Step())
                self.steps[-1].add(change)
