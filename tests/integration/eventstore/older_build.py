"""Builds from before, as the database sees them.

One from before parts reads the head from the store's row and calls append_v1; one from before scopes calls append_v2.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from eventstore import Append
from eventstore.postgres import migrate
from eventstore.postgres.appends.batch import columns
from eventstore.postgres.statements import migrations
from tests.integration.eventstore.staging import Connection
from tests.support.fixtures.databases import Database

_APPEND = """
SELECT verdict, first_number, "position", conflict_number, detail FROM eventstore.append_v1(
    ARRAY[$1::bigint], ARRAY[$2::bigint], ARRAY[NULL::bigint],
    ARRAY[$3::uuid], ARRAY[$6::bytea], ARRAY['accepted'], ARRAY[NULL::text], ARRAY[$7::jsonb],
    array_fill(1, ARRAY[cardinality($4::text[])]), array_fill(NULL::jsonb, ARRAY[cardinality($4::text[])]),
    array_fill(1, ARRAY[cardinality($4::text[])]), array_fill(NULL::timestamptz, ARRAY[cardinality($4::text[])]),
    array_fill(NULL::timestamptz, ARRAY[cardinality($4::text[])]),
    array_fill(NULL::bigint, ARRAY[cardinality($4::text[])]),
    ARRAY(SELECT generate_series(1, cardinality($4::text[]))),
    ARRAY(SELECT jsonb_build_object('Key', key) FROM unnest($4::text[]) AS k (key)),
    array_fill(1, ARRAY[cardinality($5::jsonb[])]), array_fill('Counted'::text, ARRAY[cardinality($5::jsonb[])]),
    array_fill(now(), ARRAY[cardinality($5::jsonb[])]), $5::jsonb[],
    array_fill('{}'::jsonb, ARRAY[cardinality($5::jsonb[])]), 4096
)
"""
_APPEND_V2 = """
SELECT * FROM eventstore.append_v2(
    $1, $2, $3, $4::text::integer[], $5::text::bigint[], $6::text::bigint[], $7::text::bigint[], $8::text::integer[],
    $9, $10, $11::text::text[], $12::text::timestamptz[], $13::text::jsonb[],
    $14::text::jsonb[], $15, $16
)
"""
_QUERY = """
SELECT s.head, s.token, (
    SELECT count(*) FROM eventstore.events e
    WHERE e.payload @> ANY (ARRAY(SELECT jsonb_build_object('Key', key) FROM unnest($1::text[]) AS k (key)))
) AS events
FROM eventstore.store s
WHERE s.singleton
"""


@dataclass(frozen=True, slots=True)
class Read:
    """What a query found: how many events, and up to where."""

    events: int
    number: int
    token: int


class OlderBuild:
    """Reads and appends what was counted for keys."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def query(self, *keys: str) -> Read:
        row = await self._connection.fetchrow(_QUERY, keys)
        assert row is not None
        return Read(row["events"], row["head"], row["token"])

    async def append(
        self,
        payloads: list[str],
        *keys: str,
        after: Read,
        key: UUID | None = None,
        digest: bytes = b"",
        details: str = "{}",
    ) -> "asyncpg.Record":
        """Append events within the boundary of some keys, if nobody has since; return the verdict and its receipt."""
        row = await self._connection.fetchrow(_APPEND, after.number, after.token, key, keys, payloads, digest, details)
        assert row is not None
        return row

    async def append_v2(self, requests: Sequence[Append], *, chained: bool = False) -> "list[asyncpg.Record]":
        """Append as a build from before scopes does; return a row for each request."""
        keys, _scopes, *others = columns(requests, chained=chained)
        return await self._connection.fetch(_APPEND_V2, keys, *others)


@asynccontextmanager
async def older_build(url: str, *, name: str = "worker") -> AsyncIterator[OlderBuild]:
    """Connect as an older build does."""
    connection = await asyncpg.connect(url, server_settings={"application_name": name})
    try:
        yield OlderBuild(connection)
    finally:
        await connection.close()


async def brought_to(
    database: Database, version: int, monkeypatch: pytest.MonkeyPatch, *, partition_size: int | None = None
) -> None:
    """Migrate a database as the build of that schema version did."""
    with monkeypatch.context() as then:
        then.setattr("eventstore.postgres.administration.migrations.migrations", lambda: migrations()[:version])
        await migrate(database.admin_url, partition_size=partition_size)
