"""Adoption: another store's table becomes the beginning of this log, event by event the same."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from eventstore import InvalidEvent, InvalidRequest, StoreMisconfigured, StoreUnavailable
from eventstore.postgres import PostgresEventStore, adopt, find_imports, import_events
from eventstore.postgres.administration.bulk.chunk import Chunk
from eventstore.postgres.administration.bulk.recorder import Recorder
from tests.integration.eventstore.questions import ANY, counted, numbers, of
from tests.integration.eventstore.staging import Connection, connected, head_locked, terminate
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

_TABLES = """
CREATE TABLE events (
    sequence_number bigserial PRIMARY KEY,
    occurred_at timestamptz NOT NULL,
    event_type text NOT NULL,
    payload jsonb NOT NULL,
    metadata jsonb DEFAULT '{}'
);
CREATE TABLE snapshots (
    projection_type text NOT NULL,
    filter_hash text NOT NULL,
    sequence_number bigint NOT NULL,
    snapshot_data jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection_type, filter_hash)
);
"""
# With gaps, as rolled back appends leave them, and in an order of its own on disk.
_FILL = """
INSERT INTO events (sequence_number, occurred_at, event_type, payload, metadata)
SELECT 3 * n + (n % 2), timestamptz '2026-01-05 10:00:00.123456+00' + n * interval '1 s', 'Counted',
    jsonb_build_object('Key', 'k' || n, 'Place', n), CASE WHEN n % 5 > 0 THEN jsonb_build_object('By', n) END
FROM generate_series(1, $1::integer) AS n
ORDER BY n % 7, n DESC
"""
_ODD = r"""
INSERT INTO events (sequence_number, occurred_at, event_type, payload, metadata) VALUES
    (2, '0001-01-02 00:00+00', E'with \\ and \t and \n and "é"',
        '{"Key": "a\\b\"c\n\t\u0001 é 𝄞", "Price": 1.50, "Big": 123456789012345678901234567890, "Small": 1e-30,
          "Deep": [{"a": [null, true, {}]}], "": ""}', '{"\\": "\\\\n"}'),
    (5, '9999-12-31 23:00+00', 'B', '{}', NULL),
    (4, '2026-01-05 10:00+05:30', 'B', '{}', '{}')
"""
_WAITS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%import_v1%'
"""
NOWHERE = "postgresql://nobody:secret@127.0.0.1:9/nowhere"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.postgres.administration.bulk.chunk._MOST_EVENTS", 10)


@pytest.fixture
async def source(empty: Database) -> AsyncIterator[Connection]:
    """A connection to a database with the tables of the other store, without events."""
    async with connected(empty.admin_url) as connection:
        await connection.execute(_TABLES)
        yield connection


async def waiting_chunk(admin: Connection) -> int:
    async def found() -> bool:
        return bool(await admin.fetch(_WAITS))

    await eventually(found, what="a chunk to wait for its turn")
    return int((await admin.fetch(_WAITS))[0]["pid"])


async def test_every_event_comes_over_in_order_and_without_gaps(
    store: PostgresEventStore, database: Database, empty: Database, source: Connection
) -> None:
    await source.execute(_FILL, 95)
    told: list[tuple[int, int]] = []
    found = await adopt(database.admin_url, empty.admin_url, progress=lambda *done: told.append(done))
    assert (found.table, found.before, found.adopted) == (95, 0, 95)
    assert found.sum is not None
    assert told == [(done, 95) for done in (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)]
    events = (await store.query(ANY)).events
    rows = await source.fetch("SELECT * FROM events ORDER BY sequence_number")
    assert [event.sequence_number for event in events] == list(range(1, 96))
    assert [event.metadata["original_sequence_number"] for event in events] == [row["sequence_number"] for row in rows]
    assert [event.occurred_at for event in events] == [row["occurred_at"] for row in rows]
    assert numbers(await store.query(of("k17"))) == [17]
    # What the worker does next follows.
    assert (await store.append([counted("new")], boundary=of("new"))).first == 96


async def test_every_value_comes_over_as_it_was(
    database: Database, empty: Database, source: Connection, admin: Connection
) -> None:
    await source.execute(_ODD)
    await adopt(database.admin_url, empty.admin_url)
    theirs = await source.fetch(
        "SELECT occurred_at, event_type, payload::text, coalesce(metadata, '{}')::text AS metadata "
        "FROM events ORDER BY sequence_number"
    )
    ours = await admin.fetch(
        "SELECT occurred_at, event_type, payload::text, (metadata - 'original_sequence_number')::text AS metadata "
        "FROM eventstore.events ORDER BY sequence_number"
    )
    assert [tuple(row) for row in ours] == [tuple(row) for row in theirs]


async def test_it_is_gone_on_with_when_the_table_has_grown(
    store: PostgresEventStore, database: Database, empty: Database, source: Connection
) -> None:
    await source.execute(_FILL, 25)
    first = await adopt(database.admin_url, empty.admin_url)
    again = await adopt(database.admin_url, empty.admin_url)
    assert (again.before, again.adopted, again.sum) == (25, 25, first.sum)
    await source.execute(
        "INSERT INTO events (sequence_number, occurred_at, event_type, payload) VALUES (1000, now(), 'B', '{}')"
    )
    grown = await adopt(database.admin_url, empty.admin_url)
    assert (grown.table, grown.before, grown.adopted) == (26, 25, 26)
    assert numbers(await store.query(ANY)) == list(range(1, 27))


async def test_what_is_archived_of_it_is_asked_for_and_not_taken_for_missing(
    database: Database, empty: Database, source: Connection, admin: Connection
) -> None:
    await source.execute(_FILL, 25)
    await adopt(database.admin_url, empty.admin_url)
    # As archiving notes it; what may be archived lies further behind the log's end.
    await admin.execute(
        "INSERT INTO eventstore.archives VALUES (1, 9, 5, 9, 0, '{}', now(), now(), 1, 0, '/srv/archive', now())"
    )
    with pytest.raises(InvalidRequest, match=r"^events 1 to 9 of what was adopted are archived, .*restore-archive"):
        await adopt(database.admin_url, empty.admin_url)


@pytest.mark.parametrize("chunk", [1, 2, 3])
async def test_killed_in_any_chunk_it_is_gone_on_with(
    database: Database, empty: Database, source: Connection, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await source.execute(_FILL, 30)
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Pausing(Recorder):
        calls = 0

        async def record(self, each: Chunk) -> None:
            self.calls += 1
            if self.calls == chunk:
                reached.set()
                await go_on.wait()
            await super().record(each)

    monkeypatch.setattr("eventstore.postgres.administration.bulk.adoption.Recorder", Pausing)
    task = asyncio.create_task(adopt(database.admin_url, empty.admin_url))
    await reached.wait()
    done = 10 * (chunk - 1)

    async def recorded() -> int:
        return sum(each.records for each in await find_imports(database.admin_url))

    async def all_before_it() -> bool:
        return await recorded() == done

    await eventually(all_before_it, what="the chunks before it to be recorded")
    async with head_locked(database.admin_url), connected(database.admin_url) as admin:
        go_on.set()
        await terminate(admin, await waiting_chunk(admin))
        with pytest.raises(StoreUnavailable):
            await task
    assert await recorded() == done
    found = await adopt(database.admin_url, empty.admin_url)
    assert (found.before, found.adopted) == (done, 30)


@pytest.mark.parametrize("number", [0, 12])
async def test_a_store_with_other_events_is_refused(
    store: PostgresEventStore, database: Database, empty: Database, source: Connection, number: int
) -> None:
    await source.execute(_FILL, number or 5)
    if number:
        await adopt(database.admin_url, empty.admin_url)
    await store.append([counted("other")])
    for dry_run in (True, False):
        with pytest.raises(InvalidRequest, match="has events that are not of this adoption"):
            await adopt(database.admin_url, empty.admin_url, dry_run=dry_run)
    assert len((await store.query(ANY)).events) == number + 1


async def test_an_event_that_comes_between_two_chunks_ends_it(
    store: PostgresEventStore, database: Database, empty: Database, source: Connection, admin: Connection
) -> None:
    """Under the lock it is seen that the log is not the adoption's any more."""
    await source.execute(_FILL, 30)
    async with connected(database.admin_url) as holder:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("SELECT FROM eventstore.store FOR UPDATE")
        task = asyncio.create_task(adopt(database.admin_url, empty.admin_url))
        await waiting_chunk(admin)
        await holder.execute("INSERT INTO eventstore.events VALUES (1, 7, 'Counted', now(), '{}', '{}')")
        await transaction.commit()
    with pytest.raises(InvalidRequest, match="has events that are not of this adoption"):
        await task
    assert numbers(await store.query(ANY)) == [1]


async def test_what_was_imported_from_a_file_is_not_of_the_adoption(
    database: Database, empty: Database, source: Connection
) -> None:
    await source.execute(_FILL, 5)
    await import_events(database.admin_url, [counted("a")], name="file")
    with pytest.raises(InvalidRequest, match="has events that are not of this adoption"):
        await adopt(database.admin_url, empty.admin_url)


_CHANGES = {
    "one more below": (
        "INSERT INTO events (sequence_number, occurred_at, event_type, payload) VALUES (1, now(), 'B', '{}')",
        r"has 13 events up to its number 36, and 12 of them were adopted",
    ),
    "one less": ("DELETE FROM events WHERE sequence_number = 10", r"has 11 events up to its number 36, and 12 of"),
    "another payload": ("UPDATE events SET payload = '{}' WHERE sequence_number = 10", "is not what the table has"),
    "another time": (
        "UPDATE events SET occurred_at = occurred_at + interval '1 us' WHERE sequence_number = 10",
        "is not what the table has",
    ),
    "another type": ("UPDATE events SET event_type = 'C' WHERE sequence_number = 10", "is not what the table has"),
    "other metadata": ("UPDATE events SET metadata = '{}' WHERE sequence_number = 9 + 1", "is not what the table has"),
}


@pytest.mark.parametrize(("change", "told"), _CHANGES.values(), ids=_CHANGES)
async def test_a_table_that_is_not_what_was_adopted_is_refused(
    database: Database, empty: Database, source: Connection, change: str, told: str
) -> None:
    await source.execute(_FILL, 12)
    await adopt(database.admin_url, empty.admin_url)
    await source.execute(change)
    await source.execute(
        "INSERT INTO events (sequence_number, occurred_at, event_type, payload) VALUES (1000, now(), 'B', '{}')"
    )
    with pytest.raises(InvalidRequest, match=told):
        await adopt(database.admin_url, empty.admin_url)
    assert [each.records for each in await find_imports(database.admin_url)] == [12]


async def test_an_event_that_is_not_here_is_found_at_the_end(
    database: Database, empty: Database, source: Connection, admin: Connection
) -> None:
    await source.execute(_FILL, 12)
    # Whatever changes an event on its way.
    await admin.execute(
        "CREATE FUNCTION eventstore.change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.payload := '{}'; RETURN NEW; END $$; "
        "CREATE TRIGGER change BEFORE INSERT ON eventstore.events FOR EACH ROW WHEN (NEW.sequence_number = 7) "
        "EXECUTE FUNCTION eventstore.change()"
    )
    with pytest.raises(InvalidRequest, match="what was adopted \\(12 events\\) is not what the table has"):
        await adopt(database.admin_url, empty.admin_url)


async def test_what_cannot_be_recorded_is_named_and_nothing_of_its_chunk_is(
    store: PostgresEventStore, database: Database, empty: Database, source: Connection
) -> None:
    await source.execute(_FILL, 25)
    await source.execute("UPDATE events SET payload = '[1]' WHERE sequence_number = 3 * 15 + 1")
    told = "event 46 of the table cannot be recorded: the payload of Counted must be a JSON object, not list"
    with pytest.raises(InvalidEvent) as refusal:
        await adopt(database.admin_url, empty.admin_url, dry_run=True)
    assert str(refusal.value) == told
    assert (await store.query(ANY)).events == ()
    with pytest.raises(InvalidEvent) as refusal:
        await adopt(database.admin_url, empty.admin_url)
    assert str(refusal.value) == told
    # Mended, it goes on.
    await source.execute("UPDATE events SET payload = '{}' WHERE sequence_number = 3 * 15 + 1")
    assert (await adopt(database.admin_url, empty.admin_url)).adopted == 25


async def test_an_event_with_a_negative_number_is_not_left_out(
    store: PostgresEventStore, database: Database, empty: Database, source: Connection
) -> None:
    await source.execute("INSERT INTO events VALUES (-1, now(), 'B', '{}'), (1, now(), 'B', '{}')")
    for dry_run in (True, False):
        with pytest.raises(InvalidRequest, match=r"^the table has 1 event with a negative number, which no event of a"):
            await adopt(database.admin_url, empty.admin_url, dry_run=dry_run)
    assert (await store.query(ANY)).events == ()


@pytest.mark.parametrize("time", ["infinity", "0044-03-15 00:00+00 BC", "20260-01-01 00:00+00"])
async def test_a_time_that_no_event_has_is_named(
    database: Database, empty: Database, source: Connection, time: str
) -> None:
    await source.execute("INSERT INTO events VALUES (7, $1::text::timestamptz, 'B', '{}')", time)
    with pytest.raises(InvalidEvent, match=r"event 7 of the table cannot be recorded: occurred_at is no time"):
        await adopt(database.admin_url, empty.admin_url)


async def test_a_dry_run_reads_all_and_records_nothing(
    store: PostgresEventStore, database: Database, empty: Database, source: Connection
) -> None:
    await source.execute(_FILL, 25)
    found = await adopt(database.admin_url, empty.admin_url, dry_run=True)
    assert (found.table, found.before, found.adopted, found.sum, found.dry_run) == (25, 0, 0, None, True)
    assert (await store.query(ANY)).events == ()
    assert await find_imports(database.admin_url) == []


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("nothing", "the source has no table nothing: name it with --table"),
        ("no such", "the source "),
        (
            "snapshots",
            "the table snapshots is not a table of events: it has no column event_type, metadata, occurred_at, ",
        ),
        (
            "old",
            "the table old is not a table of events: its column occurred_at is text, not timestamp with",
        ),
        ("events; DROP TABLE snapshots", "the source "),
    ],
)
async def test_what_is_no_table_of_events_is_refused(
    database: Database, empty: Database, source: Connection, table: str, told: str
) -> None:
    await source.execute(
        "CREATE TABLE old AS SELECT sequence_number, occurred_at::text, event_type, payload, metadata FROM events"
    )
    with pytest.raises(InvalidRequest) as refusal:
        await adopt(database.admin_url, empty.admin_url, table=table)
    assert str(refusal.value).startswith(told)


async def test_a_table_of_any_name_schema_and_kind_of_json_is_adopted(
    store: PostgresEventStore, database: Database, empty: Database, source: Connection
) -> None:
    await source.execute(
        'CREATE SCHEMA "Old Store"; CREATE TABLE "Old Store"."The Events" '
        "(sequence_number integer, occurred_at timestamp, event_type varchar(20), payload json, metadata json); "
        "INSERT INTO \"Old Store\".\"The Events\" VALUES (3, '2026-01-05 10:00', 'B', '{\"a\":  1}', NULL)"
    )
    found = await adopt(database.admin_url, empty.admin_url, table='"Old Store"."The Events"', number_field="Old")
    assert found.adopted == 1
    (event,) = (await store.query(ANY)).events
    assert (event.type, event.payload, event.metadata) == ("B", {"a": 1}, {"Old": 3})
    assert event.occurred_at.isoformat() == "2026-01-05T10:00:00+00:00"
    with pytest.raises(InvalidRequest, match="--number-field, that the adoption began with"):
        await adopt(database.admin_url, empty.admin_url, table='"Old Store"."The Events"')


async def test_nothing_is_changed_in_the_source(database: Database, empty: Database, source: Connection) -> None:
    await source.execute(_FILL, 25)
    await source.execute(f'ALTER DATABASE "{empty.name}" SET default_transaction_read_only = on')
    assert (await adopt(database.admin_url, empty.admin_url)).adopted == 25


async def test_a_source_that_is_lost_on_the_way_is_named(
    database: Database, empty: Database, source: Connection, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.postgres.administration.bulk.chunk._MOST_EVENTS", 2000)
    await source.execute(_FILL, 20_000)
    async with head_locked(database.admin_url):
        task = asyncio.create_task(adopt(database.admin_url, empty.admin_url))
        await waiting_chunk(admin)
        await source.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(InvalidRequest, match="the source cannot be read: "):
        await task
    assert (await adopt(database.admin_url, empty.admin_url)).adopted == 20_000


@pytest.mark.usefixtures("source")
async def test_servers_that_are_not_there_are_told_apart(database: Database, empty: Database) -> None:
    with pytest.raises(InvalidRequest, match="the source cannot be read: PostgreSQL cannot be reached"):
        await adopt(database.admin_url, NOWHERE)
    with pytest.raises(StoreUnavailable):
        await adopt(NOWHERE, empty.admin_url)
    with pytest.raises(StoreMisconfigured, match="worker db migrate"):
        await adopt(empty.admin_url, empty.admin_url)
