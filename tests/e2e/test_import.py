"""``worker db import`` and ``worker db adopt``, as they are typed."""

import gzip
import json
import os
import signal
from pathlib import Path
from uuid import uuid4

import asyncpg

from tests.e2e.program import Worker
from tests.support.fixtures.administration import execute
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

_TABLE = """
CREATE TABLE public.events (
    sequence_number bigserial PRIMARY KEY, occurred_at timestamptz NOT NULL, event_type text NOT NULL,
    payload jsonb NOT NULL, metadata jsonb DEFAULT '{}'
);
INSERT INTO public.events (sequence_number, occurred_at, event_type, payload)
SELECT 2 * n, now(), 'BookCopyAddedToCirculation', jsonb_build_object('BookID', 'b' || n) FROM generate_series(1, 30) n
"""


def line(place: int) -> bytes:
    return json.dumps(
        {"type": "Counted", "occurred_at": "2026-01-05T10:00:00Z", "payload": {"Key": f"k{place}", "Fill": "x" * 200}}
    ).encode()


def history(path: Path, count: int) -> Path:
    path.write_bytes(b"\n".join(line(place) for place in range(count)) + b"\n")
    return path


async def count(database: Database) -> int:
    connection = await asyncpg.connect(database.admin_url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM eventstore.events"))
    finally:
        await connection.close()


async def test_a_file_is_checked_imported_and_gone_on_with(worker: Worker, database: Database, tmp_path: Path) -> None:
    path = history(tmp_path / "history.ndjson", 3)
    told = await worker("db", "import", str(path), "--dry-run")
    assert (told.status, told.output) == (0, f"3 events of {path} would be imported.\n")
    assert await count(database) == 0
    told = await worker("db", "import", str(path))
    assert (told.status, told.output) == (0, f"Imported 3 events of {path}; the last is number 3.\n")
    again = await worker("db", "import", str(path))
    assert (again.status, again.output) == (0, f"All of {path} was imported before: 3 events.\n")
    history(path, 5)
    assert (await worker("db", "import", str(path), "--json")).document() == {
        "name": "history.ndjson",
        "records": 5,
        "before": 3,
        "imported": 2,
        "first": 1,
        "last": 5,
        "dry_run": False,
    }
    copy = history(tmp_path / "copy.ndjson", 5)
    assert (await worker("db", "import", str(copy))).mistake() == (
        "its first records were imported already, as history.ndjson: to continue, pass --name history.ndjson."
    )
    shown = (await worker("events", "--json", "--limit", "1")).document()
    assert (shown["sequence_number"], shown["payload"]["Key"]) == (5, "k4")


async def test_what_was_exported_comes_back(worker: Worker, tmp_path: Path) -> None:
    await worker("db", "import", str(history(tmp_path / "history.ndjson", 3)))
    exported = (await worker("events", "--json", "--metadata")).output
    packed = tmp_path / "export.jsonl.gz"
    packed.write_bytes(gzip.compress(exported.encode()))
    assert (await worker("db", "import", str(packed), "--json")).document()["last"] == 6
    shown = (await worker("events", "--json", "--limit", "1")).document()
    assert shown["metadata"] == {"original_sequence_number": 3}
    # An event that was imported has such a field already.
    packed.write_text((await worker("events", "--json", "--metadata")).output)
    assert "name it with --number-field" in (await worker("db", "import", str(packed), "--name", "again")).mistake()
    again = await worker("db", "import", str(packed), "--name", "again", "--number-field", "second_number", "--json")
    assert again.document()["last"] == 12
    shown = (await worker("events", "--json", "--limit", "1")).document()
    assert shown["metadata"] == {"original_sequence_number": 3, "second_number": 6}


async def test_a_bad_line_is_told_and_nothing_is_imported(worker: Worker, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "history.ndjson"
    path.write_bytes(b"\n".join([*(line(place) for place in range(4500)), b'{"type": "A"}']))
    for more in ((), ("--dry-run",), ("--json",)):
        mistake = (await worker("db", "import", str(path), *more)).mistake()
        assert mistake == "line 4501: the event has no payload and no occurred_at."
    assert await count(database) == 0


async def test_mistakes_are_told(worker: Worker, database: Database, tmp_path: Path) -> None:
    unnamed = history(tmp_path / "history", 1)
    assert (await worker("db", "import", str(unnamed))).mistake() == (
        f"the name of {unnamed} does not show its format: pass --format ndjson or --format csv."
    )
    assert (await worker("db", "import", str(unnamed), "--format", "ndjson")).status == 0
    for gone in (f"{tmp_path}/gone.csv", f"{tmp_path}/gone", "https://example.org/gone.csv"):
        assert (await worker("db", "import", gone)).mistake() == f"{gone} cannot be read: No such file or directory."
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert (await worker("db", "import", str(empty))).output == f"There is no event in {empty}.\n"
    mistake = (
        await worker.having(DATABASE_ADMIN_URL=database.url)(
            "db", "import", str(unnamed), "--format", "ndjson", "--name", "other"
        )
    ).mistake()
    assert mistake.startswith("its first records were imported already")
    other = history(tmp_path / "other.ndjson", 2)
    other.write_bytes(line(7) + b"\n")
    mistake = (await worker.having(DATABASE_ADMIN_URL=database.url)("db", "import", str(other))).mistake()
    assert mistake.startswith(
        "the role of DATABASE_ADMIN_URL has no right to do this: name the database's owner there ("
    )
    nowhere = "postgresql://nobody:secret@127.0.0.1:9/nowhere"
    mistake = (await worker.having(DATABASE_ADMIN_URL=nowhere)("db", "import", str(other))).mistake()
    assert mistake.endswith("Recorded events stay recorded: run the same command again to continue after them.")
    assert "secret" not in mistake


async def test_killed_at_any_point_the_same_command_goes_on(worker: Worker, database: Database, tmp_path: Path) -> None:
    path = history(tmp_path / "history.ndjson", 30_000)
    for least in (1, 5_000):
        before = await count(database)
        async with worker.started("db", "import", str(path)) as process:

            async def has_begun(wanted: int = max(least, before + 1)) -> bool:
                return await count(database) >= wanted

            await eventually(has_begun, what="some chunks to be recorded")
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
    reached = await count(database)
    done = (await worker("db", "import", str(path), "--json")).document()
    assert (done["records"], done["last"]) == (30_000, 30_000)
    # A chunk that was with the server when its client was killed may have been recorded after the look.
    assert 5_000 <= reached <= done["before"] < 30_000
    connection = await asyncpg.connect(database.admin_url)
    try:
        wrong = await connection.fetch(
            "SELECT FROM eventstore.events WHERE payload ->> 'Key' <> 'k' || (sequence_number - 1)"
        )
    finally:
        await connection.close()
    assert (wrong, await count(database)) == ([], 30_000)


async def test_a_table_is_adopted(worker: Worker, database: Database) -> None:
    await execute(database.admin_url, _TABLE)
    source = database.admin_url
    told = await worker("db", "adopt", "--from", source, "--dry-run")
    assert (told.status, told.output) == (0, "30 events of events would be adopted.\n")
    told = await worker.having(ADOPT_FROM=source)("db", "adopt", "--table", "public.events")
    assert (told.status, told.output) == (
        0,
        "Adopted 30 events of public.events. Compared with the table: 30 events, equal by count and checksum.\n",
    )
    document = (await worker("db", "adopt", "--from", source, "--json")).document()
    assert document.pop("sum").lstrip("-").isdigit()
    assert document == {"table": 30, "before": 30, "adopted": 0, "dry_run": False}
    shown = (await worker("events", "--json", "--limit", "1", "--metadata")).document()
    assert (shown["sequence_number"], shown["metadata"]) == (30, {"original_sequence_number": 60})
    assert (await worker("status", str(uuid4()))).status == 1
    await execute(database.admin_url, "INSERT INTO eventstore.events VALUES (31, 7, 'A', now(), '{}', '{}')")
    mistake = (await worker("db", "adopt", "--from", source)).mistake()
    assert mistake.startswith("the store has events that are not of this adoption")


async def test_a_source_that_is_not_there_is_told_without_its_password(worker: Worker) -> None:
    mistake = (await worker("db", "adopt", "--from", "postgresql://u:secret@127.0.0.1:9/x")).mistake()
    assert mistake.startswith("the source cannot be read: PostgreSQL cannot be reached at ")
    assert "secret" not in mistake
    assert "DATABASE_ADMIN_URL" not in mistake
