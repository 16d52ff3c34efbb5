"""Archived ranges without files: partitions are described and dropped, as the last steps of ``worker archive`` do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

from eventstore.postgres.administration.administrator import administrator
from tests.support.fixtures.databases import Database

__all__ = ["drop_oldest", "fill", "owner_of"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# More than the newest events that are never archived: the numbers below become archivable.
_FILLER = 8_192
_FILL = """
INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
SELECT h.last + n, 77, 'Filler', now(), '{}', '{}'
FROM generate_series(1, $1) n, (SELECT coalesce(max(sequence_number), 0) AS last FROM eventstore.events) h
"""


@asynccontextmanager
async def owner_of(database: Database) -> AsyncIterator[Connection]:
    """A connection with the right to archive, whose statements name the database's schema."""
    async with administrator(database.admin_url, purpose="test", schema=database.schema) as connection:
        yield connection


async def fill(admin: Connection, count: int = _FILLER) -> None:
    """Record ``count`` events of a type that no test reads."""
    await admin.execute(_FILL, count)
    await admin.fetch("SELECT eventstore.define_head()")


async def drop_oldest(admin: Connection) -> None:
    """Archive the oldest partition without writing its file."""
    first = await admin.fetchval("SELECT min(first_number) FROM eventstore.partitions")
    (row,) = await admin.fetch("SELECT * FROM eventstore.describe_archive_v1($1)", first)
    await admin.fetch("SELECT eventstore.move_out_v1($1, $2, $3, 'nowhere')", first, row["events"], row["checksum"])
