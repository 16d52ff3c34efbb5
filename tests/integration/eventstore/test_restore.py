"""A backup that is restored: what it holds goes on, and what came after it is another history."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from deploy.local.binaries import postgres_folder
from eventstore import HistoryDiverged
from eventstore.postgres import PostgresEventStore
from tests.fixtures.administration import execute, on
from tests.fixtures.databases import Database
from tests.integration.eventstore.questions import ANY, counted, keys, of


@pytest.fixture
async def blank(database: Database) -> AsyncIterator[Database]:
    """An empty database beside the test's own."""
    name = f"{database.name}_restored_{os.getpid()}"
    await execute(database.admin_url, f'CREATE DATABASE "{name}"')
    yield Database(name=name, url=on(database.url, name), admin_url=on(database.admin_url, name), replica_urls=())
    await execute(database.admin_url, f'DROP DATABASE "{name}" WITH (FORCE)')


async def run(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(postgres_folder() / "bin" / program, *arguments)
    assert await process.wait() == 0, program


async def test_what_a_restore_does_to_positions_and_receipts(
    database: Database, blank: Database, tmp_path: Path
) -> None:
    backup = str(tmp_path / "backup")
    kept_key, lost_key = uuid4(), uuid4()
    async with PostgresEventStore.connect(database.url) as store:
        kept = await store.append([counted("kept")], key=kept_key)
        await run("pg_dump", "--format=custom", f"--file={backup}", database.admin_url)
        lost = await store.append([counted("lost")], key=lost_key)
    await run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={blank.admin_url}", backup)

    async with PostgresEventStore.connect(blank.url) as store:
        assert keys(await store.query(ANY, min_position=kept.position)) == ["kept"]
        # What was answered before the backup is answered alike.
        again = await store.append([counted("kept")], key=kept_key)
        assert (again.duplicate, again.position) == (True, kept.position)
        # A position from after it is in no history, not even once there is another event of its number.
        with pytest.raises(HistoryDiverged):
            await store.append([counted("x")], boundary=of("lost"), after=lost.position)
        # What was answered after it has no answer any more: it is decided anew.
        anew = await store.append([counted("anew")], key=lost_key, boundary=of("lost"), after=kept.position)
        assert (anew.duplicate, anew.first) == (False, lost.first)
        with pytest.raises(HistoryDiverged):
            await store.append([counted("x")], boundary=of("lost"), after=lost.position)
        assert keys(await store.query(ANY)) == ["kept", "anew"]
        with pytest.raises(asyncpg.PostgresError, match="events are facts"):
            await execute(blank.admin_url, "TRUNCATE eventstore.events")
