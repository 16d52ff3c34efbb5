"""The SQL of a projection's tables. Tables are named without a schema: the transaction's search path determines it."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from handlers import Row, Table
from worker.reading.pending_changes import TableChanges

__all__ = ["create_table", "writes"]

Write = tuple[str, list[list[Any]]]
"""A statement, and a list of values for each of its parameters."""


def create_table(table: Table) -> str:
    """Return the statements that create a table and its indexes."""
    lines = [f'"{column.name}" {column.kind}{"" if column.nullable else " NOT NULL"}' for column in table.layout]
    if table.key:
        lines.append(f"PRIMARY KEY ({_listed(table.key)})")
    made = [f'CREATE TABLE "{table.name}" ({", ".join(lines)})']
    made += [f'CREATE INDEX ON "{table.name}" ({_listed(index)})' for index in table.indexes]
    return "; ".join(made)


def writes(table: Table, changes: TableChanges) -> Iterator[Write]:
    """Yield the statements that write a table's changes, in order, with their values."""
    names = tuple(table.columns)
    if rows := changes.rows or list(changes.inserts.values()):
        yield _insert(table), _turned(rows, names)
    if changes.deletes:
        yield _delete(table), _turned_keys(changes.deletes, len(table.key))
    if changes.upserts:
        yield _upsert(table), _turned(changes.upserts.values(), names)
    alike: dict[tuple[str, ...], list[tuple[tuple[Any, ...], Row]]] = {}
    for key, values in changes.updates.items():
        alike.setdefault(tuple(values), []).append((key, values))
    for changed, members in alike.items():
        keys = _turned_keys((key for key, _ in members), len(table.key))
        yield _update(table, changed), [*keys, *_turned((values for _, values in members), changed)]


def _turned(rows: Iterable[Row], names: Iterable[str]) -> list[list[Any]]:
    held = list(rows)
    return [[row[name] for row in held] for name in names]


def _turned_keys(keys: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    held = list(keys)
    return [[key[place] for key in held] for place in range(width)]


@lru_cache(maxsize=256)
def _insert(table: Table) -> str:
    names = tuple(table.columns)
    return f'INSERT INTO "{table.name}" ({_listed(names)}) SELECT * FROM {_unnested(table, names)}'  # noqa: S608  names are checked


@lru_cache(maxsize=256)
def _upsert(table: Table) -> str:
    others = [name for name in table.columns if name not in table.key]
    put = ", ".join(f'"{name}" = EXCLUDED."{name}"' for name in others)
    action = f"DO UPDATE SET {put}" if others else "DO NOTHING"
    return f"{_insert(table)} ON CONFLICT ({_listed(table.key)}) {action}"


@lru_cache(maxsize=256)
def _delete(table: Table) -> str:
    return f'DELETE FROM "{table.name}" AS t USING {_unnested(table, table.key)} WHERE {_same_key(table)}'  # noqa: S608  the same


@lru_cache(maxsize=256)
def _update(table: Table, changed: tuple[str, ...]) -> str:
    put = ", ".join(f'"{name}" = v."{name}"' for name in changed)
    values = _unnested(table, (*table.key, *changed))
    return f'UPDATE "{table.name}" AS t SET {put} FROM {values} WHERE {_same_key(table)}'  # noqa: S608  the same


def _unnested(table: Table, names: Iterable[str]) -> str:
    kinds = {column.name: column.kind for column in table.layout}
    held = tuple(names)
    arrays = ", ".join(f"${place}::{kinds[name]}[]" for place, name in enumerate(held, start=1))
    return f"unnest({arrays}) AS v ({_listed(held)})"


def _same_key(table: Table) -> str:
    return " AND ".join(f't."{name}" = v."{name}"' for name in table.key)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
