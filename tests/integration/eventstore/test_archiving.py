"""Archiving on real servers: what comes back is the same, whatever happens, and whoever reads then is never misled."""

import asyncio
import contextlib
import hashlib
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from eventstore import (
    ConcurrencyConflict,
    Consistency,
    HistoryArchived,
    InvalidRequest,
    LockNotAcquired,
    StoreMisconfigured,
)
from eventstore.postgres import PostgresEventStore, Schema, archive, migrate, restore_archive, survey
from eventstore.postgres.administration.archiving import turn
from eventstore.postgres.administration.archiving.archive_file import ArchiveFile
from eventstore.postgres.administration.archiving.manifest import Manifest
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import ANY, counted, numbers, of
from tests.integration.eventstore.staging import Connection, connected
from tests.support.archives import drop_oldest, fill, owner_of
from tests.support.fixtures.administration import execute
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

# What says all of the first events, and not only what a program reads of them.
_ROWS = "SELECT e::text FROM eventstore.events e WHERE sequence_number <= 4 ORDER BY sequence_number"
_STRANGE = """
INSERT INTO eventstore.events
VALUES (2, 4611686018427387903, 'Späte "Rückgabe"', '0001-01-01 00:00:00.000001+00',
    '{"": "", "a": [1, {"b": null}], "n": 12345678901234567890.0123456789, "e": 1e400, "s": "\\u0001\\n\\"\\\\ü🙂"}',
    '{"sealed": {"Name": {"key": "6c1a"}}}'),
(3, -1, 'X', '9999-12-31 23:59:59.999999+00', '{}', '{}')
"""
_PARTITIONED = """
SELECT eventstore.bound_events(2);
ALTER TABLE eventstore.events VALIDATE CONSTRAINT events_first_partition;
SELECT eventstore.partition_events(2);
UPDATE eventstore.partitioning SET size = 1000000;
SELECT eventstore.extend_v1(0);
"""


class Killed(BaseException):
    """Ends a process at once, as far as anybody else can see."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the table to others for a moment only."""
    monkeypatch.setattr(turn.with_the_table, "__kwdefaults__", {"rest": 0.05})


@pytest.fixture
async def admin(partitioned_database: Database) -> AsyncIterator[Connection]:
    async with owner_of(partitioned_database) as connection:
        yield connection


@pytest.fixture
async def filled(partitioned_database: Database, admin: Connection) -> Database:
    """A log in partitions of 2 events, of 2, and of many, of which there are enough."""
    async with PostgresEventStore.connect(partitioned_database.url, schema=partitioned_database.schema) as store:
        await store.append([counted("a")])
        await admin.execute(_STRANGE)
        await store.append([counted("a")])
    await fill(admin)
    return partitioned_database


async def rows(admin: Connection) -> list[str]:
    return [row[0] for row in await admin.fetch(_ROWS)]


def files_of(directory: Path, pattern: str = "*") -> list[Path]:
    return sorted(directory.glob(pattern))


async def test_what_is_moved_out_and_back_is_the_same(filled: Database, admin: Connection, tmp_path: Path) -> None:
    before, directory = await rows(admin), tmp_path / "deep" / "archive"
    dry = await archive(filled.admin_url, schema=filled.schema, before=5, to=directory, dry_run=True)
    assert (dry.ranges, dry.kept) == (
        ((1, 2), (3, 4)),
        "the partition 5 to 1,000,004 is too near to the end of the log, 8,196",
    )
    assert (await rows(admin), directory.exists()) == (before, False)
    told: list[tuple[int, int]] = []
    one = await archive(
        filled.admin_url, schema=filled.schema, before=4, to=directory, progress=lambda *done: told.append(done)
    )
    assert (one.ranges, one.kept, told) == (((1, 2),), "the partition 3 to 4 does not end before 4", [(2, 2)])
    assert (await archive(filled.admin_url, schema=filled.schema, before=5, to=directory)).ranges == ((3, 4),)
    assert (await archive(filled.admin_url, schema=filled.schema, before=5, to=directory)).ranges == ()
    assert await rows(admin) == []
    found = await survey(filled.admin_url, schema=filled.schema)
    assert (found.archives, found.archive_places, found.guarded) == (2, (str(directory),), True)
    assert (found.wholeness.archived, found.wholeness.complaint) == (4, None)
    # A build that knows nothing of archives reads nothing at all: it pauses.
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="which this build does not know of"):
        await admin.fetch("SELECT * FROM eventstore.head_v1()")
    async with PostgresEventStore.connect(filled.url, schema=filled.schema) as store:
        with pytest.raises(HistoryArchived):
            await store.query(of("a"))
        back = await restore_archive(filled.admin_url, directory, schema=filled.schema, dry_run=True)
        assert (back.ranges, back.left, await rows(admin)) == (((3, 4), (1, 2)), 0, [])
        assert (await restore_archive(filled.admin_url, directory, schema=filled.schema)).ranges == ((3, 4), (1, 2))
        assert await rows(admin) == before
        assert numbers(await store.query(of("a"))) == [1, 4]
    found = await survey(filled.admin_url, schema=filled.schema)
    assert (found.archives, found.guarded, found.partitions) == (0, True, 4)
    assert await admin.fetchval("SELECT count(*) FROM eventstore.archives, eventstore.archive_fields") == 0
    assert await admin.fetchval("SELECT sequence_number FROM eventstore.head_v1()") == 8196
    with pytest.raises(asyncpg.PostgresError) as refused:
        await admin.execute("DELETE FROM eventstore.events_from_3")
    assert refused.value.sqlstate == "ES003"


async def test_what_another_role_restores_belongs_to_the_owner_of_the_log(
    filled: Database, admin: Connection, tmp_path: Path
) -> None:
    role = f"helper_of_{filled.name}"
    parts = urlsplit(filled.admin_url)
    helper = parts._replace(netloc=f"{role}:helpersecret@{parts.netloc.rpartition('@')[2]}").geturl()
    await archive(filled.admin_url, schema=filled.schema, before=5, to=tmp_path)
    await execute(filled.admin_url, f"CREATE ROLE \"{role}\" LOGIN SUPERUSER PASSWORD 'helpersecret'")
    try:
        await restore_archive(helper, tmp_path, schema=filled.schema)
        owners = await admin.fetch(
            "SELECT DISTINCT c.relowner FROM pg_class c WHERE c.oid = 'eventstore.events'::regclass"
            " OR c.oid IN (SELECT p.oid FROM eventstore.partitions p)"
        )
        assert len(owners) == 1
    finally:
        await execute(filled.admin_url, f'REASSIGN OWNED BY "{role}" TO CURRENT_USER')
        await execute(filled.admin_url, f'DROP ROLE "{role}"')


STEPS = ("describe", "write", "written_whole", "manifest", "verify", "move")


async def test_whatever_ends_an_archiving_it_is_gone_on_with_and_nothing_is_lost(
    filled: Database, admin: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eventstore.postgres.administration.archiving import archive_file, moving  # noqa: PLC0415  to be taken apart

    before = await rows(admin)

    async def killed(*_: Any, **__: Any) -> None:
        raise Killed

    def killed_at_once(*_: Any, **__: Any) -> None:
        raise Killed

    async def broken_off(connection: Any, described: Any) -> AsyncIterator[Any]:
        async for some in original_rows(connection, described):
            yield some[:1]
            raise Killed

    original_rows = moving._rows
    staged: list[tuple[object, str, Any]] = [
        (moving, "_found", killed_at_once),
        (moving, "_rows", broken_off),
        (archive_file, "written_whole", killed_at_once),
        (Manifest, "write", killed_at_once),
        (ArchiveFile, "verify", killed_at_once),
        (moving, "with_the_table", killed),
    ]
    for place, (where, name, instead) in enumerate(staged):
        # Each goes on from what the one before it has left.
        with monkeypatch.context() as patch:
            patch.setattr(where, name, instead)
            with pytest.raises(Killed):
                await archive(filled.admin_url, schema=filled.schema, before=5, to=tmp_path)
        assert await rows(admin) == before, place
        assert await admin.fetchval("SELECT count(*) FROM eventstore.archives WHERE archived_at IS NOT NULL") == 0
    assert [path.suffix for path in files_of(tmp_path)] == [".json", ".parquet"]
    # A file that is damaged as long as the events are there is written again.
    files_of(tmp_path, "*.parquet")[0].write_bytes(b"PAR1")

    async def answer_lost(connection: Any, name: str, *parameters: Any) -> None:
        await turn.with_the_table(connection, name, *parameters)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(moving, "with_the_table", answer_lost)
        with pytest.raises(Killed):
            await archive(filled.admin_url, schema=filled.schema, before=5, to=tmp_path)
    assert len(await rows(admin)) == 2
    assert (await archive(filled.admin_url, schema=filled.schema, before=5, to=tmp_path)).ranges == ((3, 4),)
    await restore_archive(filled.admin_url, tmp_path, schema=filled.schema)
    assert await rows(admin) == before


async def test_a_process_that_is_killed_while_it_waits_for_the_table_drops_nothing(
    filled: Database, admin: Connection, tmp_path: Path
) -> None:
    before = await rows(admin)
    async with owner_of(filled) as other, other.transaction():
        await other.execute("SELECT FROM eventstore.events LIMIT 1")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", "db", "archive", "--before", "3", "--to", str(tmp_path), "--yes"),
            env={**os.environ, "DATABASE_ADMIN_URL": filled.admin_url, "DATABASE_SCHEMA": filled.schema},
        )
        await eventually(partial(_waits, admin), what="the archiving to wait for the table")
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await eventually(partial(_is_gone, admin), what="the server to notice")
    assert await rows(admin) == before
    assert (await archive(filled.admin_url, schema=filled.schema, before=5, to=tmp_path)).ranges == ((1, 2), (3, 4))


async def _waits(admin: Connection) -> bool:
    return await _count(admin, "wait_event_type = 'Lock' AND query LIKE '%move_out%'") == 1


async def _is_gone(admin: Connection) -> bool:
    return await _count(admin, "application_name LIKE 'worker db archive%'") == 0


async def _count(admin: Connection, condition: str) -> int:
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return int(await admin.fetchval(f"{others} AND {condition}"))


async def test_files_that_are_not_what_was_archived_are_not_restored(
    filled: Database, admin: Connection, tmp_path: Path
) -> None:
    await archive(filled.admin_url, schema=filled.schema, before=5, to=tmp_path)
    tables = await admin.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'eventstore'::regnamespace")
    last, manifest = files_of(tmp_path, "*3-*.parquet")[0], files_of(tmp_path, "*3-*.json")[0]
    assert last.name.startswith("events-0000000000000000003-0000000000000000004-")
    # What else lies there is nobody's business.
    (tmp_path / "events-of-somebody-else.json").write_text("[]")
    good, told = last.read_bytes(), manifest.read_bytes()
    spoilt = bytearray(good)
    spoilt[len(good) // 3] ^= 1

    async def refused(reason: str) -> None:
        with pytest.raises(InvalidRequest, match=reason):
            await restore_archive(filled.admin_url, tmp_path, schema=filled.schema)
        assert await rows(admin) == []

    last.write_bytes(spoilt)
    await refused("is not as its manifest says; nothing of these events was changed")
    # Not even if the manifest was made to say so.
    other = json.loads(told)
    for content, reason in (
        (
            files_of(tmp_path, "*1-*.parquet")[0].read_bytes(),
            "does not hold the events 3 to 4 that the database knows",
        ),
        (b"PAR1", "cannot be read as archived events"),
    ):
        last.write_bytes(content)
        other |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest.write_text(json.dumps(other))
        await refused(reason)
    last.write_bytes(good)
    manifest.write_text(json.dumps(json.loads(told) | {"checksum": "5"}))
    await refused("are not those that were archived")
    manifest.write_text(json.dumps(json.loads(told) | {"format": 2}))
    await refused("is not a manifest that this release knows")
    manifest.write_text("{")
    await refused("cannot be read as the manifest")
    manifest.rename(tmp_path / "kept")
    await refused("the events 3 to 4 were archived last and come back first: they are not in .*, but were moved to ")
    (tmp_path / "kept").write_bytes(told)
    (tmp_path / "kept").rename(manifest)
    last.unlink()
    await refused("is missing")
    last.write_bytes(good)
    assert tables == await admin.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'eventstore'::regnamespace")
    assert (await restore_archive(filled.admin_url, tmp_path, schema=filled.schema)).left == 0
    await refused_whole(filled, tmp_path)


async def refused_whole(filled: Database, directory: Path) -> None:
    with pytest.raises(InvalidRequest, match="nothing is archived: the database has the whole log"):
        await restore_archive(filled.admin_url, directory, schema=filled.schema)


async def test_two_logs_in_one_directory_keep_what_is_theirs(
    filled: Database, admin: Connection, database: Database, tmp_path: Path
) -> None:
    """The second one's numbers are the same; its events are not, and are never written over those of the first."""
    await execute(database.admin_url, _PARTITIONED)
    async with (
        PostgresEventStore.connect(database.url) as store,
        connected(database.admin_url) as other,
    ):
        await store.append([counted("b")] * 4)
        await fill(other)
        before, others = await rows(admin), await rows(other)
        await archive(filled.admin_url, schema=filled.schema, before=5, to=tmp_path)
        assert (await archive(database.admin_url, before=5, to=tmp_path)).ranges == ((1, 2), (3, 4))
        for url, schema in ((filled.admin_url, filled.schema), (database.admin_url, "eventstore")):
            assert (await restore_archive(url, tmp_path, schema=schema)).left == 0
        assert (await rows(admin), await rows(other)) == (before, others)


async def test_a_directory_that_takes_no_files_is_told_as_that(filled: Database, tmp_path: Path) -> None:
    """Not as a database that cannot be reached, which is what a failing connection raises as well."""

    def allow_little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    (tmp_path / "file").write_text("")
    for directory, allow, reason in (
        (tmp_path / "file" / "below", None, "(Not a directory)"),
        (tmp_path / "file", None, "(File exists)"),
        (tmp_path / "small", allow_little, "File too large)"),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", "db", "archive", "--before", "3", "--to", str(directory), "--yes"),
            env={**os.environ, "DATABASE_ADMIN_URL": filled.admin_url, "DATABASE_SCHEMA": filled.schema},
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=allow,
        )
        _, complaint = await process.communicate()
        told = " ".join(complaint.decode().split())
        assert (process.returncode, "cannot be written (" in told, reason in told) == (2, True, True), told
        assert "nothing of these events was changed in the database" in told
    async with PostgresEventStore.connect(filled.url, schema=filled.schema) as store:
        assert numbers(await store.query(of("a"))) == [1, 4]


async def test_what_cannot_be_archived_is_told(
    filled: Database, admin: Connection, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match="the log is one table, and only partitions can be archived"):
        await archive(database.admin_url, before=5, to=tmp_path)
    long_ago = (await admin.fetchval("SELECT occurred_at FROM eventstore.events WHERE sequence_number = 1")).replace(
        year=9
    )
    assert "has an event of" in str(
        (await archive(filled.admin_url, schema=filled.schema, before=long_ago, to=tmp_path)).kept
    )
    await admin.execute("SELECT pg_advisory_lock($1)", Schema(filled.schema).lock(turn._LOCK))
    with pytest.raises(LockNotAcquired, match="another process archives or restores"):
        await archive(filled.admin_url, schema=filled.schema, before=5, to=tmp_path)
    await admin.execute("SELECT pg_advisory_unlock($1)", Schema(filled.schema).lock(turn._LOCK))
    async with owner_of(filled) as other, other.transaction():
        await other.execute("SELECT FROM eventstore.events LIMIT 1")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(turn, "_MOST_TRIES", 1)
            with pytest.raises(StoreMisconfigured, match="keeps the table of events locked"):
                await archive(filled.admin_url, schema=filled.schema, before=5, to=tmp_path)
    # Who works, cannot.
    async with connected(filled.url) as runtime:
        for attempt in (
            "describe_archive_v1(1)",
            "move_out_v1(1, 2, 0, '')",
            "begin_restore_v1(1)",
            "define_archived()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await runtime.fetch(f"SELECT {filled.schema}.{attempt}")
    # Not even the owner moves out what was not found elsewhere, or what is near to the end.
    await admin.fetch("SELECT eventstore.describe_archive_v1(1)")
    with pytest.raises(asyncpg.PostgresError, match="is not as it was described"):
        await admin.fetch("SELECT eventstore.move_out_v1(1, 2, 5, '')")
    await drop_oldest(admin)
    await drop_oldest(admin)
    with pytest.raises(asyncpg.PostgresError, match="is too near to the end of the log"):
        await admin.fetch("SELECT eventstore.describe_archive_v1(5)")
    assert len((await migrate(filled.admin_url, schema=filled.schema)).applied) == 0
    async with PostgresEventStore.connect(filled.url, schema=filled.schema) as store:
        with pytest.raises(HistoryArchived):
            await store.query(ANY)


async def test_a_read_sees_the_events_or_that_they_are_archived_at_each_moment(
    filled: Database, admin: Connection, tmp_path: Path
) -> None:
    """Staged: a long read has the table, the archiving waits for it, and a read with an old plan waits for that."""
    async with (
        PostgresEventStore.connect(filled.url, schema=filled.schema, pool_size=1) as store,
        owner_of(filled) as holder,
        owner_of(filled) as mover,
    ):

        async def beside(move: Any) -> Any:
            transaction = holder.transaction()
            await transaction.start()
            await holder.execute("SELECT FROM eventstore.events LIMIT 1")
            moving = asyncio.create_task(move)
            await eventually(partial(_locked, admin, 1), what="the archiving to wait for the read")
            reading = asyncio.create_task(store.query(of("a")))
            await eventually(partial(_locked, admin, 2), what="the next read to wait for the archiving")
            await transaction.rollback()
            await moving
            return await asyncio.gather(reading, return_exceptions=True)

        assert numbers(await store.query(of("a"))) == [1, 4]
        (found,) = await beside(drop_oldest(mover))
        assert isinstance(found, HistoryArchived)
        assert (found.first, found.last) == (1, 2)
        await archive(filled.admin_url, schema=filled.schema, before=5, to=tmp_path)
        await _forget_first(admin)
        (found,) = await beside(restore_archive(filled.admin_url, tmp_path, schema=filled.schema))
        assert numbers(found) == [4]


async def _forget_first(admin: Connection) -> None:
    """Have the range that went nowhere be as if it had never been."""
    await admin.execute("DELETE FROM eventstore.archives WHERE first_number = 1")


async def _locked(admin: Connection, count: int) -> bool:
    return await _count(admin, "wait_event_type = 'Lock' AND wait_event = 'relation'") == count


async def test_a_long_read_that_is_under_way_is_ended_and_skips_nothing(filled: Database, admin: Connection) -> None:
    async with PostgresEventStore.connect(filled.url, schema=filled.schema) as store:
        seen: list[int] = []

        async def read() -> None:
            async for event in store.read(ANY, batch_size=1):
                seen.append(event.sequence_number)
                if event.sequence_number == 1:
                    await drop_oldest(admin)
                    await drop_oldest(admin)

        with pytest.raises(HistoryArchived):
            await read()
        assert seen == [1]
        # By the indexes as well, which find the numbers before the events.
        await store.append([counted("late")])
        assert [event.sequence_number async for event in store.read(of("late"), batch_size=1)] == [8197]
        with pytest.raises(HistoryArchived):
            _ = [event async for event in store.read(of("a"), batch_size=1)]


async def test_a_replica_that_lags_behind_the_archiving_is_right_and_so_is_who_decides_by_it(
    replicated: Replicated,
) -> None:
    replica = replicated.replicas[0]
    await execute(replicated.admin_url, _PARTITIONED)
    async with (
        PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store,
        connected(replicated.admin_url) as admin,
    ):
        await store.append([counted("a")] * 4)
        await fill(admin)
        await replicated.follow()
        async with replicated.paused(replica):
            await drop_oldest(admin)
            await drop_oldest(admin)
            read = await store.query(of("a"), consistency=Consistency.EVENTUAL)
            assert (read.replica, numbers(read)) == (True, [1, 2, 3, 4])
            with pytest.raises(HistoryArchived):
                await store.query(of("a"))
            # What was decided on all of it is recorded, and what conflicts is found.
            first = await store.append([counted("a")], boundary=of("a"), after=read.position)
            with pytest.raises(ConcurrencyConflict):
                await store.append([counted("a")], boundary=of("a"), after=read.position)
        await replicated.follow()
        await eventually(partial(_is_archived, replica.url(replica.admin, replicated.database)), what="the replay")
        with pytest.raises(HistoryArchived):
            await store.query(of("a"), consistency=Consistency.EVENTUAL)
        tail = await store.query(
            of("a").narrowed_above(4), consistency=Consistency.EVENTUAL, min_position=first.position
        )
        assert numbers(tail) == [first.first]


async def _is_archived(url: str) -> bool:
    async with connected(url) as connection:
        with contextlib.suppress(asyncpg.PostgresError):
            return bool(
                await connection.fetchval("SELECT count(*) = 2 FROM eventstore.archives WHERE archived_at IS NOT NULL")
            )
    return False
