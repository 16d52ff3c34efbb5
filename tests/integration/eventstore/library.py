"""A log of a million events in two databases: with statistics of its size, and with those of an almost empty table."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pytest

from tests.support.fixtures.administration import execute, on
from tests.support.fixtures.environment import Environment

Statistics = Literal["stale", "fresh"]

EVENTS = 1_000_000
RECEIPTS = 20_000
# Each book has 10 events. Every fiftieth event is of the branch "hot", and every hundred thousandth is "Rare".
_LOAD = f"""
ALTER TABLE eventstore.events SET (autovacuum_enabled = off);
ALTER TABLE eventstore.receipts SET (autovacuum_enabled = off);
SET maintenance_work_mem = '512MB';
INSERT INTO eventstore.events VALUES (1, 1, 'Rare', now(), '{{"BookID": "first"}}', '{{}}');
INSERT INTO eventstore.receipts
    VALUES ('00000000-0000-0000-0000-000000000000', '', 'accepted', NULL, '{{}}', NULL, NULL, 1, 1, now());
ANALYZE eventstore.events, eventstore.receipts;
CREATE TEMPORARY TABLE definition AS
SELECT indexrelid::regclass::text AS index, pg_get_indexdef(indexrelid) AS text
FROM pg_index WHERE indrelid = 'eventstore.events'::regclass AND NOT indisprimary;
DO $$
DECLARE d record;
BEGIN
    FOR d IN SELECT * FROM definition LOOP EXECUTE format('DROP INDEX %s', d.index); END LOOP;
    INSERT INTO eventstore.events
    SELECT n, n, CASE WHEN n % 100000 = 0 THEN 'Rare' ELSE (ARRAY['Lent', 'Returned', 'Added'])[1 + n % 3] END, now(),
        jsonb_build_object('BookID', 'b' || n % 100000)
            || CASE WHEN n % 50 = 0 THEN '{{"Branch": "hot"}}' ELSE '{{}}' END::jsonb,
        '{{}}'
    FROM generate_series(2, {EVENTS}) AS n;
    FOR d IN SELECT * FROM definition LOOP EXECUTE d.text; END LOOP;
END
$$;
INSERT INTO eventstore.receipts
SELECT lpad(to_hex(n), 32, '0')::uuid, '', 'accepted', NULL, '{{}}', n, n, n, n, now()
FROM generate_series(1, {RECEIPTS} - 1) AS n;
-- Making an index counts the table's rows. The statistics shall be those of the almost empty one.
SELECT pg_restore_relation_stats(
    'schemaname', 'eventstore', 'relname', name, 'relpages', 1, 'reltuples', 1::real, 'relallvisible', 0)
FROM unnest('{{events,events_payload,events_type,events_occurred_at}}'::text[]) AS name;
"""  # noqa: S608  nothing in it comes from outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Libraries:
    """The addresses of the two databases, for the role that workers use."""

    stale: str
    fresh: str


@pytest.fixture(scope="session")
def libraries(stack_environment: Environment, template_database: str) -> Iterator[Libraries]:
    """The two databases, for all tests of this process; what tests do in them they roll back."""
    admin_url = stack_environment["DATABASE_ADMIN_URL"]
    stale, fresh = (f"test_{stack_environment.run}_{os.getpid()}_{name}" for name in ("stale", "fresh"))

    async def make() -> None:
        await execute(admin_url, f'CREATE DATABASE "{stale}" TEMPLATE "{template_database}"')
        await execute(on(admin_url, stale), _LOAD)
        await execute(admin_url, f'CREATE DATABASE "{fresh}" TEMPLATE "{stale}"')
        await execute(on(admin_url, fresh), "VACUUM ANALYZE eventstore.events, eventstore.receipts")

    async def drop() -> None:
        for name in (stale, fresh):
            await execute(admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    try:
        asyncio.run(make())
        url = stack_environment["DATABASE_URL"]
        yield Libraries(stale=on(url, stale), fresh=on(url, fresh))
    finally:
        asyncio.run(drop())
