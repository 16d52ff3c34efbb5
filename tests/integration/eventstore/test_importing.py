"""Imports: chunk by chunk under the lock of every append, known by the database, gone on with after any end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from eventstore import (
    ConcurrencyConflict,
    Event,
    Filter,
    InvalidRequest,
    LockNotAcquired,
    OutcomeUnknown,
    StoreMisconfigured,
    StoreUnavailable,
)
from eventstore.postgres import Import, PostgresEventStore, check_import, find_imports, import_events
from tests.integration.eventstore.questions import ANY, counted, keys, numbers, of
from tests.integration.eventstore.staging import Connection, connected, head_locked, terminate
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import proxy

_MOMENT = datetime(2026, 1, 5, 10, tzinfo=UTC)
_WAITS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%import_v1%'
"""
_WAITS_FOR_ITS_TURN = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid()
"""
IMPORTING = "eventstore.postgres.administration.bulk.importing"
NOWHERE = "postgresql://nobody:secret@127.0.0.1:9/nowhere"


def history(count: int, first: int = 0) -> Iterator[Event]:
    for place in range(first, first + count):
        yield Event(type="Counted", payload={"Key": f"k{place}", "Place": place}, occurred_at=_MOMENT)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.postgres.administration.bulk.chunk._MOST_EVENTS", 10)


async def importing(database: Database, count: int, name: str = "history") -> Import:
    return await import_events(database.admin_url, history(count), name=name)


async def waiting_import(admin: Connection) -> int:
    """Wait until an import waits for its turn; return its process in the server."""

    async def found() -> bool:
        return bool(await admin.fetch(_WAITS))

    await eventually(found, what="an import to wait for its turn")
    return int((await admin.fetch(_WAITS))[0]["pid"])


async def test_events_are_recorded_as_they_are_behind_those_that_are_there(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    await store.append([counted("before")])
    done = await importing(database, 25)
    assert (done.records, done.first, done.last) == (25, 2, 26)
    stream = await store.query(ANY)
    assert numbers(stream) == list(range(1, 27))
    assert keys(stream) == ["before", *(f"k{place}" for place in range(25))]
    assert {event.occurred_at for event in stream.events[1:]} == {_MOMENT}
    # One transaction a chunk has one token; an append goes on behind the last.
    assert await admin.fetchval("SELECT count(DISTINCT token) FROM eventstore.events") == 1 + 3
    assert (await store.append([counted("after")])).first == 27


async def test_what_was_imported_is_found_as_anything_else(store: PostgresEventStore, database: Database) -> None:
    await importing(database, 25)
    found = await store.query(of("k17"))
    assert (numbers(found), found.position.number) == ([18], 25)
    assert numbers(await store.query(Filter.matching().any_event_type_of("Counted"))) == list(range(1, 26))
    period = Filter.matching().any_event_type_of("Counted").occurred_from(_MOMENT).and_occurred_until(_MOMENT)
    assert numbers(await store.latest(period, limit=2)) == [24, 25]


async def test_it_goes_on_behind_what_is_recorded(store: PostgresEventStore, database: Database) -> None:
    await importing(database, 10)
    told: list[int] = []
    done = await import_events(database.admin_url, history(34), name="history", progress=told.append)
    assert (done.records, told) == (34, [10, 20, 30, 34])
    assert keys(await store.query(ANY)) == [f"k{place}" for place in range(34)]
    # What has no end left changes nothing.
    assert await importing(database, 34) == done
    assert await find_imports(database.admin_url) == [done]


@pytest.mark.parametrize("chunk", [1, 2, 3])
async def test_killed_in_any_chunk_it_is_gone_on_with(
    store: PostgresEventStore, database: Database, admin: Connection, chunk: int
) -> None:
    """The server's process ends while the chunk waits for its turn, and what it was sent is undone."""
    reached = asyncio.Event()
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def pausing() -> Iterator[Event]:
        # Read in a thread of its own, while the loop goes on.
        for place, event in enumerate(history(30)):
            if place == 10 * (chunk - 1):
                loop.call_soon_threadsafe(reached.set)
                asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            yield event

    task = asyncio.create_task(import_events(database.admin_url, pausing(), name="history"))
    await reached.wait()
    if chunk > 1:

        async def recorded() -> bool:
            return bool(await admin.fetchval("SELECT count(*) = $1 FROM eventstore.events", 10 * (chunk - 1)))

        await eventually(recorded, what="the chunks before it to be recorded")
    async with head_locked(database.admin_url):
        go_on.set()
        await terminate(admin, await waiting_import(admin))
        with pytest.raises(StoreUnavailable):
            await task
    known = await find_imports(database.admin_url)
    assert [each.records for each in known] == ([10 * (chunk - 1)] if chunk > 1 else [])
    assert (await importing(database, 30)).records == 30
    assert keys(await store.query(ANY)) == [f"k{place}" for place in range(30)]


async def test_an_answer_that_was_lost_is_found_in_the_database(
    store: PostgresEventStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit has happened, and its caller is told that it is not known."""

    @contextmanager
    def lost(_connection: object) -> Iterator[None]:
        yield
        raise OutcomeUnknown("the connection broke behind the commit")

    with monkeypatch.context() as patched:
        patched.setattr("eventstore.postgres.administration.bulk.recorder.confirmed", lost)
        with pytest.raises(OutcomeUnknown):
            await importing(database, 30)
    assert [each.records for each in await find_imports(database.admin_url)] == [10]
    assert (await importing(database, 30)).records == 30
    assert keys(await store.query(ANY)) == [f"k{place}" for place in range(30)]


async def test_of_two_that_import_at_the_same_time_one_waits_and_is_told(
    store: PostgresEventStore, database: Database, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{IMPORTING}._PATIENCE_SECONDS", 0.0)
    async with head_locked(database.admin_url):
        first = asyncio.create_task(importing(database, 40))
        await waiting_import(admin)
        with pytest.raises(LockNotAcquired, match="another process imports a file: wait for its end, then try again"):
            await importing(database, 40)
    await first
    assert (await importing(database, 40)).records == 40
    assert keys(await store.query(ANY)) == [f"k{place}" for place in range(40)]


@pytest.mark.parametrize("name", ["history", "copy"])
async def test_what_the_server_still_records_for_a_killed_import_is_not_recorded_again(
    store: PostgresEventStore, database: Database, admin: Connection, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{IMPORTING}._PATIENCE_SECONDS", 120.0)
    checked = check_import(history(40), [], name=name)

    async def second_waits() -> bool:
        return bool(await admin.fetch(_WAITS_FOR_ITS_TURN))

    async with proxy(database.admin_url) as way:
        async with head_locked(database.admin_url):
            first = asyncio.create_task(import_events(way.url, history(40), name="history"))
            await waiting_import(admin)
            # Like a process that is killed: the server has not noticed, and still waits to record its chunk.
            way.cut()
            with pytest.raises(StoreUnavailable):
                await first
            second = asyncio.create_task(import_events(database.admin_url, history(40), name=name, checked=checked))
            await eventually(second_waits, what="the second one to wait for the first")
        if name == "copy":
            with pytest.raises(InvalidRequest, match="history was imported meanwhile, which may be the same file: run"):
                await second
            # Compared again, it is known under its first name.
            with pytest.raises(InvalidRequest, match="as history: to continue, pass --name history"):
                check_import(history(40), await find_imports(database.admin_url), name=name)
            assert keys(await store.query(ANY)) == [f"k{place}" for place in range(10)]
            second = asyncio.create_task(importing(database, 40))
        assert (await second).records == 40
    assert keys(await store.query(ANY)) == [f"k{place}" for place in range(40)]


async def test_a_source_that_was_changed_is_refused(store: PostgresEventStore, database: Database) -> None:
    await importing(database, 20)
    with pytest.raises(InvalidRequest, match="changed while it was imported"):
        await import_events(database.admin_url, history(30, first=1), name="history")
    assert len((await store.query(ANY)).events) == 20


async def test_a_check_knows_what_was_imported(database: Database) -> None:
    await importing(database, 20)
    known = await find_imports(database.admin_url)
    # A line was mended that was not imported yet, and others came behind it.
    checked = check_import(history(50), known, name="history")
    assert (checked.records, checked.known.records) == (50, 20)
    for source in (history(19), history(50, first=1), iter(())):
        with pytest.raises(
            InvalidRequest, match="does not begin with the records that were imported as history \\(20 records\\)"
        ):
            check_import(source, known, name="history")
    with pytest.raises(InvalidRequest, match="were imported already, as history: to continue, pass --name history"):
        check_import(history(50), known, name="renamed")
    assert check_import(history(50, first=1), known, name="other").known.records == 0
    assert check_import(history(19), known, name="shorter").records == 19


async def test_a_record_that_is_no_event_ends_it_and_those_before_it_stay(
    store: PostgresEventStore, database: Database
) -> None:
    def broken() -> Iterator[Event]:
        yield from history(25)
        raise InvalidRequest("line 26: it is not JSON")

    with pytest.raises(InvalidRequest, match="line 26"):
        await import_events(database.admin_url, broken(), name="history")
    # Whole chunks only: the last one may be on its way when the record is met.
    count = len((await store.query(ANY)).events)
    assert count in {10, 20}
    assert [each.records for each in await find_imports(database.admin_url)] == [count]


async def test_one_value_that_the_server_refuses_ends_it(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    await admin.execute("ALTER TABLE eventstore.events ADD CONSTRAINT small CHECK (payload ->> 'Place' <> '15')")
    with pytest.raises(InvalidRequest, match="small"):
        await importing(database, 30)
    assert len((await store.query(ANY)).events) == 10


async def test_an_import_waits_its_turn_and_takes_the_numbers_of_then(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    async with connected(database.admin_url) as holder:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("SELECT FROM eventstore.store FOR UPDATE")
        task = asyncio.create_task(importing(database, 5))
        await waiting_import(admin)
        await holder.execute(
            "INSERT INTO eventstore.events VALUES (1, 7, 'Counted', now(), '{\"Key\": \"first\"}', '{}')"
        )
        await transaction.commit()
    assert (await task).first == 2
    assert keys(await store.query(ANY)) == ["first", "k0", "k1", "k2", "k3", "k4"]


async def test_imported_events_break_the_conditions_of_appends_beside_them(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    """Each appender claims what nobody has claimed; the import claims, too. No claim may follow another one of its key.

    Both run until the import is done, so that every append meets chunks that were recorded since its query.
    """
    claims = 60
    done = asyncio.Event()
    conflicts = 0

    def claimed() -> Iterator[Event]:
        # Each key many times, so that every chunk breaks the conditions of all appenders.
        for place in range(400):
            yield Event(type="Counted", payload={"Key": f"k{place % claims}", "By": "import"}, occurred_at=_MOMENT)

    async def append(start: int) -> None:
        nonlocal conflicts
        key = start
        while not done.is_set():
            key = (key + 7) % claims
            boundary = of(f"k{key}")
            stream = await store.query(boundary)
            seen = stream.events[-1].sequence_number if stream.events else 0
            try:
                await store.append(
                    [counted(f"k{key}", By="append", Saw=seen)], boundary=boundary, after=stream.position
                )
            except ConcurrencyConflict:
                conflicts += 1

    async def imported() -> None:
        try:
            await import_events(database.admin_url, claimed(), name="claims")
        finally:
            done.set()

    await asyncio.gather(imported(), *(append(start) for start in range(8)))
    wrong = await admin.fetch(
        """
        SELECT e.sequence_number FROM eventstore.events e
        WHERE e.payload ->> 'By' = 'append' AND EXISTS (
            SELECT FROM eventstore.events o
            WHERE o.payload -> 'Key' = e.payload -> 'Key'
                AND o.sequence_number > (e.payload ->> 'Saw')::bigint AND o.sequence_number < e.sequence_number
        )
        """
    )
    assert wrong == []
    assert conflicts > 0, "no append met the import: the race did not take place"
    total = await admin.fetchval("SELECT count(*) FROM eventstore.events")
    assert await admin.fetchval("SELECT max(sequence_number) FROM eventstore.events") == total
    assert await admin.fetchval("SELECT count(*) FROM eventstore.events WHERE payload ->> 'By' = 'import'") == 400


async def test_a_conditional_append_that_waits_behind_a_chunk_is_refused_by_it(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    boundary = of("k3")
    position = (await store.query(boundary)).position
    async with head_locked(database.admin_url):
        task = asyncio.create_task(importing(database, 5))
        await waiting_import(admin)
        late = asyncio.create_task(store.append([counted("k3")], boundary=boundary, after=position))

        async def queued() -> bool:
            return bool(
                await admin.fetchval(
                    "SELECT count(*) = 2 FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            )

        await eventually(queued, what="the append to wait behind the import")
    await task
    with pytest.raises(ConcurrencyConflict) as refusal:
        await late
    assert refusal.value.sequence_number == 4


async def test_an_append_far_behind_an_import_catches_up(
    store: PostgresEventStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.postgres.administration.bulk.chunk._MOST_EVENTS", 2000)
    position = (await store.query(of("other"))).position
    await importing(database, 5000)
    assert (await store.append([counted("other")], boundary=of("other"), after=position)).first == 5001
    with pytest.raises(ConcurrencyConflict):
        await store.append([counted("k4")], boundary=of("k4"), after=position)


@pytest.mark.parametrize("setting", ["default_transaction_isolation = 'serializable'", "synchronous_commit = off"])
async def test_the_guards_of_appends_are_those_of_imports(database: Database, admin: Connection, setting: str) -> None:
    await admin.execute(f'ALTER DATABASE "{database.name}" SET {setting}')
    with pytest.raises(StoreMisconfigured):
        await importing(database, 5)
    assert await admin.fetchval("SELECT count(*) FROM eventstore.events") == 0


async def test_workers_may_not_import(database: Database) -> None:
    with pytest.raises(StoreMisconfigured) as refusal:
        await import_events(database.url, history(5), name="history")
    assert refusal.value.code == "42501"


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await find_imports(NOWHERE)


async def test_a_cancelled_import_is_gone_on_with(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    async with head_locked(database.admin_url):
        task = asyncio.create_task(importing(database, 30))
        await waiting_import(admin)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await importing(database, 30)).records == 30
    assert keys(await store.query(ANY)) == [f"k{place}" for place in range(30)]
