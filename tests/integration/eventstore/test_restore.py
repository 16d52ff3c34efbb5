"""A backup that is restored: what it holds goes on, and what came after it is another history."""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from eventstore import HistoryDiverged, Receipt, StoreMisconfigured
from eventstore.postgres import PostgresEventStore, migrate, survey
from eventstore.postgres.statements import migrations
from tests.integration.eventstore.questions import ANY, counted, keys, of
from tests.support.fixtures.administration import execute, on
from tests.support.fixtures.databases import Database
from tests.support.restoring import documented, run

migrating = sys.modules["eventstore.postgres.administration.migrations"]


@pytest.fixture
async def blank(database: Database) -> AsyncIterator[Database]:
    """An empty database beside the test's own."""
    name = f"{database.name}_restored_{os.getpid()}"
    await execute(database.admin_url, f'CREATE DATABASE "{name}"')
    yield Database(name=name, url=on(database.url, name), admin_url=on(database.admin_url, name), replica_urls=())
    await execute(database.admin_url, f'DROP DATABASE "{name}" WITH (FORCE)')


async def recorded(url: str, count: int) -> list[Receipt]:
    async with PostgresEventStore.connect(url) as store:
        return [await store.append([counted("a")], key=uuid4()) for _ in range(count)]


async def test_what_a_restore_does_to_positions_and_receipts(
    database: Database, blank: Database, tmp_path: Path
) -> None:
    backup = str(tmp_path / "backup")
    kept_key, lost_key = uuid4(), uuid4()
    async with PostgresEventStore.connect(database.url) as store:
        kept = await store.append([counted("kept")], key=kept_key)
        assert await run("pg_dump", "--format=custom", f"--file={backup}", database.admin_url) == 0
        lost = await store.append([counted("lost")], key=lost_key)
    assert await run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={blank.admin_url}", backup) == 0

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


@pytest.mark.parametrize("way", range(2), ids=["plain", "archive"])
async def test_a_dump_is_restored_as_documented_and_only_into_an_empty_database(
    database: Database, tmp_path: Path, way: int
) -> None:
    receipts = await recorded(database.url, 5)
    for form, name in (("plain", "events.sql"), ("custom", "events.dump")):
        assert await run("pg_dump", f"--format={form}", f"--file={tmp_path / name}", database.admin_url) == 0
    name = f"{database.name}_anew_{os.getpid()}"
    creation, loading = ([word.replace("restored", name) for word in command] for command in documented()[way])
    url = on(database.url, name)
    try:
        for program, *arguments in (creation, loading):
            assert await run(program, *arguments, at=database.admin_url, folder=tmp_path) == 0
        found = await survey(url)
        assert (found.head, found.guarded, found.wholeness.complaint) == (5, True, None)
        assert (found.wholeness.looked_at, found.wholeness.strays) == (5, 0)
        async with PostgresEventStore.connect(url) as store:
            assert [await store.receipt(each.key) for each in receipts if each.key] == receipts
            assert (await store.append([counted("a")])).first == 6
        # A second time it is not empty any more.
        program, *arguments = loading
        assert await run(program, *arguments, at=database.admin_url, folder=tmp_path) != 0
        assert (await survey(url)).head == 6
    finally:
        await execute(database.admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def test_a_restore_that_goes_on_after_errors_is_found_out(
    database: Database, blank: Database, tmp_path: Path
) -> None:
    """Into a database that was in use: the receipts are loaded, the events are not, and psql ends with status 0."""
    await recorded(database.url, 5)
    backup = str(tmp_path / "backup")
    assert await run("pg_dump", f"--file={backup}", database.admin_url) == 0
    await migrate(blank.admin_url)
    await recorded(blank.url, 1)
    assert await run("psql", "--quiet", f"--file={backup}", blank.admin_url) == 0
    with pytest.raises(StoreMisconfigured, match=r"of 6 receipts checked, 5 belong to events that the log"):
        await recorded(blank.url, 1)
    assert (await survey(blank.url)).wholeness.strays == 5


async def test_what_a_restore_without_triggers_leaves_is_found_and_set_again(
    database: Database, blank: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a database that serves older builds as well, which read the head from a row that a trigger keeps."""
    monkeypatch.setattr(migrating, "migrations", lambda: migrations()[:2])
    await migrate(blank.admin_url)
    monkeypatch.undo()
    assert (await migrate(blank.admin_url)).unfinished
    await recorded(database.url, 5)
    backup = str(tmp_path / "backup")
    options = ("--data-only", "--disable-triggers", "--table=eventstore.events", "--table=eventstore.receipts")
    assert await run("pg_dump", *options, f"--file={backup}", database.admin_url) == 0
    assert await run("psql", "--quiet", f"--file={backup}", blank.admin_url) == 0

    found = await survey(blank.url)
    assert (found.head, found.guarded, found.wholeness.kept_head) == (5, False, 0)
    with pytest.raises(StoreMisconfigured, match="the log ends at 5, and the head that older builds read is 0"):
        await recorded(blank.url, 1)
    would = await migrate(blank.admin_url, dry_run=True)
    assert [each.split()[:2] for each in would.repaired] == [["the", "trigger"]] * 3 + [["the", "head"]]
    assert (await survey(blank.url)).guarded is False
    assert (await migrate(blank.admin_url)).repaired == would.repaired
    found = await survey(blank.url)
    assert (found.guarded, found.wholeness.kept_head, found.wholeness.complaint) == (True, 5, None)
    await recorded(blank.url, 1)
    assert (await survey(blank.url)).wholeness.kept_head == 6
    assert (await migrate(blank.admin_url)).repaired == ()
