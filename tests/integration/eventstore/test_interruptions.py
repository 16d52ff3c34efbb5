"""Ctrl-C while an administrative command is in a transaction and the server has gone silent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from eventstore.postgres import adopt, archive, migrate, restore_archive
from eventstore.postgres.administration import migrations
from eventstore.postgres.administration.administrator import administrator, transaction
from eventstore.postgres.administration.bulk import adoption
from eventstore.postgres.statements import statement
from tests.integration.eventstore.staging import Connection, connected
from tests.support.archives import fill, owner_of
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import proxy

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_SHARES = "SELECT FROM eventstore.events LIMIT 1"
# Far more than the second that the server gets to stop: without a limit, a command never ends.
_SECONDS = 30.0

Way: TypeAlias = Callable[[str], Coroutine[Any, Any, object]]


@pytest.fixture
async def admin(partitioned_database: Database) -> AsyncIterator[Connection]:
    async with owner_of(partitioned_database) as connection:
        yield connection


async def interrupted(way: Way, address: str, admin: Connection) -> None:
    """Cut the server off while the way waits for a lock, and cancel it."""
    async with proxy(address) as relay:
        task = asyncio.create_task(way(relay.url))

        async def waits() -> bool:
            assert not task.done()
            return bool(await admin.fetchval(_WAITING))

        await eventually(waits, what="it to wait for a lock")
        relay.hold()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=_SECONDS)
        assert done == {task}, "it still waits for the server"
        assert task.cancelled()


async def test_a_migration_ends(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_LOCK_TIMEOUT", "10min")
    async with connected(database.admin_url) as admin:
        async with connected(database.admin_url) as other, other.transaction():
            await other.execute(_SHARES)
            await interrupted(partial(migrate, partition_size=10_000), database.admin_url, admin)
        # The server has noticed, and has undone what was begun.
        await migrate(database.admin_url, partition_size=10_000)


async def test_an_archiving_ends_and_so_does_a_restoring(
    partitioned_database: Database, admin: Connection, tmp_path: Path
) -> None:
    await fill(admin, 8_200)  # so that the first two partitions lie far enough behind the end
    before = await _events(admin)
    schema = partitioned_database.schema

    async def move_out(url: str) -> object:
        return await archive(url, before=5, to=tmp_path, schema=schema)

    async def put_back(url: str) -> object:
        return await restore_archive(url, tmp_path, schema=schema)

    url = partitioned_database.admin_url
    async with owner_of(partitioned_database) as other, other.transaction():
        await other.execute(_SHARES)
        await interrupted(move_out, url, admin)
    await eventually(partial(_is_alone, admin), what="the server to notice")
    assert await _events(admin) == before
    await move_out(url)
    async with owner_of(partitioned_database) as other, other.transaction():
        await other.execute("LOCK TABLE eventstore.events IN SHARE MODE")
        await interrupted(put_back, url, admin)
    await eventually(partial(_is_alone, admin), what="the server to notice")
    assert await _events(admin) == before - 4
    await put_back(url)
    assert await _events(admin) == before


_TABLE = """
CREATE TABLE events (
    sequence_number bigint, occurred_at timestamptz, event_type text, payload jsonb, metadata jsonb DEFAULT '{}'
);
INSERT INTO events VALUES (1, now(), 'Counted', '{}');
"""


async def test_a_comparison_of_what_was_adopted_ends(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(name: str) -> str:
        # It takes long for a large table.
        waits = "SELECT 0 AS events, '' AS sum, pg_advisory_xact_lock(1), $1::text, $2::bigint, $3::bigint"
        return waits if name == "adopted_sum" else statement(name)

    async with connected(database.admin_url) as admin:
        await admin.execute(_TABLE)
        async with connected(database.admin_url) as other:
            await other.execute("SELECT pg_advisory_lock(1)")
            with monkeypatch.context() as patched:
                patched.setattr(adoption, "statement", slow)

                async def compare(url: str) -> object:
                    return await adopt(url, database.admin_url, table="public.events")

                await interrupted(compare, database.admin_url, admin)
    assert (await adopt(database.admin_url, database.admin_url, table="public.events")).adopted == 1


async def _events(admin: Connection) -> int:
    return int(await admin.fetchval("SELECT count(*) FROM eventstore.events"))


async def _is_alone(admin: Connection) -> bool:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE $1"
    return not await admin.fetchval(asked, "worker db %")


async def test_a_part_of_a_transaction_is_rolled_back_by_itself(database: Database) -> None:
    """With a server that answers, an interruption leaves the connection usable, and what was done before it."""
    async with administrator(database.admin_url, purpose="test") as connection:

        async def noted(number: int, then: str) -> None:
            async with transaction(connection):
                await connection.execute(f"INSERT INTO noted VALUES ({number})")  # noqa: S608  a number of ours
                await connection.execute(then)

        async with transaction(connection):
            await connection.execute("CREATE TEMPORARY TABLE noted (n integer)")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(noted(1, "SELECT pg_sleep(600)"), 0.05)
            with pytest.raises(asyncpg.DivisionByZeroError):
                await noted(2, "SELECT 1 / 0")
            await noted(3, "SELECT")
        assert [row["n"] for row in await connection.fetch("SELECT n FROM noted")] == [3]
