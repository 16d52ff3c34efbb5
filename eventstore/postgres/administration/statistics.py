"""Statistics of a server and its store: sizes, use, connections, lag and slow statements, as one role sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eventstore.errors import StoreMisconfigured
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.drivers.asyncpg import AsyncpgConnection
from eventstore.postgres.drivers.errors import DRIVER_ERRORS, sqlstate_of
from eventstore.postgres.statements import statement
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["Measures", "measure"]

_STATEMENTS = 10
_SECONDS = 30

# The extension's library is not loaded at the server's start, or the role may not use its schema or view.
_NOT_FOR_US = {"55000", "42P01", "42501"}

_Rows = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The measured values. Each mapping has the columns of the named statement in ``sql/``.

    Attributes:
        database: The database as a whole (``stats.sql``).
        tables: The tables (``stats_tables.sql``); numbers of rows are estimates.
        indexes: The indexes (``stats_indexes.sql``).
        connections: The connections by application name (``stats_connections.sql``).
        standbys: The standbys that receive from this server (``stats_standbys.sql``).
        statements: The statements that took the most time (``stats_statements.sql``); None if ``pg_stat_statements`` is
            not available.
    """

    database: Mapping[str, Any]
    tables: _Rows
    indexes: _Rows
    connections: _Rows
    standbys: _Rows
    statements: _Rows | None = field(default=None)


async def measure(url: str, *, schema: str = DEFAULT_SCHEMA, writable: bool = True) -> Measures:
    """Measure a server and its event store. Nothing is changed.

    Args:
        url: The database URL. If it has several hosts, the one that accepts writes is measured, unless ``writable`` is
            False.
        schema: The schema of the store.
        writable: Whether the server must accept writes; by default True. Otherwise any server in the URL is measured.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address or credentials are wrong, there is no event store, or the role may not read it.
    """
    # Without cached prepared statements, which some poolers do not support.
    async with administrator(
        url,
        purpose="worker db stats",
        schema=schema,
        wanted=SessionAttribute.read_write if writable else SessionAttribute.any,
        cached=False,
        statement_seconds=_SECONDS,
    ) as connection:
        rows = await _rows(connection, "stats")
        if not rows:
            raise StoreMisconfigured("the event store has lost its lock row: restore the database from a backup")
        return Measures(
            database=rows[0],
            tables=await _rows(connection, "stats_tables"),
            indexes=await _rows(connection, "stats_indexes"),
            connections=await _rows(connection, "stats_connections"),
            standbys=await _rows(connection, "stats_standbys"),
            statements=await _statements(connection, rows[0]["extension"]),
        )


async def _statements(connection: AsyncpgConnection, schema: str | None) -> _Rows | None:
    if schema is None:
        return None
    await connection.execute("SELECT set_config('search_path', quote_ident($1), false)", schema)
    try:
        return await _rows(connection, "stats_statements", _STATEMENTS)
    except DRIVER_ERRORS as error:
        if sqlstate_of(error) not in _NOT_FOR_US:
            raise
        return None


async def _rows(connection: AsyncpgConnection, name: str, *parameters: object) -> _Rows:
    return tuple(dict(row) for row in await connection.fetch(statement(name), *parameters))
