"""Archived ranges for tests that are not about the files: described and dropped, as the command does it in the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

from eventstore.postgres.administration.administrator import administrator
from tests.support.fixtures.databases import Database

__all__ = ["drop_oldest", "fill", "owner_of"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Further than what stays: numbers that are archived lie so far behind the head.
_FILLER = 8_192
_FILL = """
INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
SELECT h.last + n, 77, 'Filler', now(), '{}', '{}'
FROM generate_series(1, $1) n, (SELECT coalesce(max(sequence_number), 0) AS last FROM eventstore.events) h
"""


@asynccontextmanager
async def owner_of(database: Database) -> AsyncIterator[Connection]:
    """A connection of the one who may archive. What it is sent is read for the database's schema."""
    async with administrator(database.admin_url, purpose="test", schema=database.schema) as connection:
        yield connection


async def fill(admin: Connection, count: int = _FILLER) -> None:
    """Record so many events of no interest."""
    await admin.execute(_FILL, count)
    await admin.fetch("SELECT eventstore.define_head()")


async def drop_oldest(admin: Connection) -> None:
    """Archive the oldest partition, nowhere."""
    first = await admin.fetchval("SELECT min(first_number) FROM eventstore.partitions")
    (row,) = await admin.fetch("SELECT * FROM eventstore.describe_archive_v1($1)", first)
    await admin.fetch("SELECT eventstore.move_out_v1($1, $2, $3, 'nowhere')", first, row["events"], row["checksum"])
