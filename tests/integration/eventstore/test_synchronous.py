"""A primary that must not promise a commit before a standby has it, and waits for a standby that is not there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from eventstore import (
    START,
    Append,
    Consistency,
    OutcomeUnknown,
    Position,
    PositionNotReached,
    Receipt,
    StoreUnavailable,
    Subject,
    SubjectKey,
)
from eventstore.postgres import PostgresEventStore, Session, find_subject, forget
from eventstore.postgres.drivers.choice import DriverName
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import ANY, counted, keys, numbers, of
from tests.integration.eventstore.staging import Connection, answered, connected, terminate
from tests.support.fixtures.administration import execute
from tests.support.fixtures.waiting import eventually

_WAITING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'SyncRep' AND query LIKE '%append_v3%' AND pid <> $1
"""


@asynccontextmanager
async def unpromising(admin: Connection, url: str, *, standby: str = "nobody") -> AsyncIterator[None]:
    """Make every commit wait for a standby, by default for one that nobody has ever seen."""
    async with connected(url) as probe:
        commits: list[asyncio.Task[str]] = []

        async def holds() -> bool:
            # The server's processes take the setting one after another: it is in force when a commit waits.
            if not commits or commits[-1].done():
                commits.append(asyncio.create_task(probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')")))
            query = "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $1"
            return bool(await admin.fetchval(query, probe.get_server_pid()))

        await admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '\"{standby}\"'")
        await admin.execute("SELECT pg_reload_conf()")
        try:
            await eventually(holds, what="commits to wait for the standby")
            yield
        finally:
            await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await admin.execute("SELECT pg_reload_conf()")
            await asyncio.gather(*commits)


async def waiting(admin: Connection, *, besides: int = 0) -> int:
    """Wait until an append waits for the standby; return its process's id."""
    await eventually(partial(_waits, admin, besides), what="the append to wait for the standby")
    return int(await admin.fetchval(_WAITING, besides))


async def _commits(admin: Connection, statement: str) -> bool:
    """Whether a statement that is like this one waits for the standby."""
    return bool(
        await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event = 'SyncRep' AND query LIKE $1",
            statement,
        )
    )


async def cut_short(admin: Connection, statement: str) -> None:
    """Cancel the wait of a statement like this one for the standby, as an impatient administrator does."""
    await eventually(partial(_commits, admin, statement), what="the statement to wait for the standby")
    cut = await admin.fetch(
        "SELECT pid, query_start, pg_cancel_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event = 'SyncRep' AND query LIKE $1",
        statement,
    )

    async def have_ended() -> bool:
        # A process that has not noticed yet would be taken for one that waits again.
        query = "SELECT FROM pg_stat_activity WHERE pid = $1 AND query_start = $2 AND wait_event = 'SyncRep'"
        return not any([await admin.fetch(query, wait["pid"], wait["query_start"]) for wait in cut])

    await eventually(have_ended, what="the wait to end")


async def _waits(admin: Connection, besides: int) -> bool:
    return await admin.fetchval(_WAITING, besides) is not None


async def test_a_commit_that_a_replica_shows_first_is_waited_for_on_the_primary(replicated: Replicated) -> None:
    async with (
        connected(replicated.admin_url) as admin,
        PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store,
        PostgresEventStore.connect(replicated.url, reach_seconds=0.05) as impatient,
    ):
        await store.append([counted("a")])
        async with unpromising(admin, replicated.admin_url):
            append = asyncio.create_task(store.append([counted("a")]))
            await waiting(admin)
            await eventually(partial(_replica_shows, store, 2), what="the replica to show the commit")
            ahead = await store.query(of("a"), consistency=Consistency.EVENTUAL)
            assert numbers(await store.query(of("a"))) == [1]
            with pytest.raises(PositionNotReached):
                await impatient.query(of("a"), min_position=ahead.position)
            query = asyncio.create_task(store.query(of("a"), min_position=ahead.position))
            assert not (await asyncio.wait([query], timeout=0.05))[0]
        stream = await query
        assert (stream.replica, numbers(stream), stream.position) == (False, [1, 2], ahead.position)
        assert (await append).position == ahead.position


# By the indexes, and along the log.
@pytest.mark.parametrize("batch_size", [1, 1000])
async def test_a_long_read_up_to_a_commit_that_a_replica_shows_first_does_not_end_before_it(
    replicated: Replicated, batch_size: int
) -> None:
    async with (
        connected(replicated.admin_url) as admin,
        PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store,
        PostgresEventStore.connect(replicated.url, reach_seconds=0.05) as impatient,
    ):
        await store.append([counted("a") for _ in range(20)])
        async with unpromising(admin, replicated.admin_url):
            append = asyncio.create_task(store.append([counted("a")]))
            await waiting(admin)
            await eventually(partial(_replica_shows, store, 21), what="the replica to show the commit")
            ahead = (await store.query(of("a"), consistency=Consistency.EVENTUAL)).position
            read = partial(_read, up_to=ahead, batch_size=batch_size)
            assert await read(store, consistency=Consistency.EVENTUAL) == list(range(1, 22))
            with pytest.raises(PositionNotReached):
                await read(impatient)
            reading = asyncio.create_task(read(store))
            assert not (await asyncio.wait([reading], timeout=0.05))[0]
        assert await reading == list(range(1, 22))
        assert (await append).position == ahead


async def _read(
    store: PostgresEventStore, *, up_to: Position, batch_size: int, consistency: Consistency = Consistency.STRONG
) -> list[int]:
    reading = store.read(
        of("a"), up_to=up_to.number, min_position=up_to, batch_size=batch_size, consistency=consistency
    )
    return [event.sequence_number async for event in reading]


async def _replica_shows(store: PostgresEventStore, head: int) -> bool:
    stream = await store.query(of("a"), consistency=Consistency.EVENTUAL)
    return stream.replica and stream.position.number == head


async def test_a_duplicate_is_not_promised_before_the_append_it_speaks_of(replicated: Replicated) -> None:
    key = uuid4()
    async with connected(replicated.admin_url) as admin, PostgresEventStore.connect(replicated.url) as store:
        await store.append([counted("before")])
        async with unpromising(admin, replicated.admin_url):
            append = asyncio.create_task(store.append([counted("a")], key=key))
            pid = await waiting(admin)
            # The commit is on the primary's disk and nowhere else. Asked again, the store knows of it ...
            await terminate(admin, pid)
            await waiting(admin, besides=pid)
            assert await store.receipts([key])
            # ... and must not say so while a failover could still lose it.
            asked = asyncio.create_task(store.receipt(key))
            await eventually(partial(_commits, admin, "%confirmed%"), what="the question to wait for the standby")
            assert not append.done()
            assert not asked.done()
        receipt = await append
        assert (receipt.first, receipt.duplicate) == (2, True)
        assert await asked == replace(receipt, duplicate=False)
        assert keys(await store.query(ANY)) == ["before", "a"]


@pytest.fixture
async def hushed(replicated: Replicated) -> Replicated:
    """A database that sends its clients errors alone, and no warning."""
    await execute(replicated.admin_url, f'ALTER DATABASE "{replicated.database}" SET client_min_messages = error')
    return replicated


@pytest.mark.usefixtures("hushed")
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "sqlalchemy"])
async def test_an_append_whose_wait_for_the_standby_is_cut_short_is_not_answered(
    replicated: Replicated, driver: DriverName
) -> None:
    """PostgreSQL commits it all the same, and reports success with a warning beside it."""
    async with (
        connected(replicated.admin_url) as admin,
        PostgresEventStore.connect(replicated.url, driver=driver) as store,
    ):
        await store.append([counted("before")])
        async with unpromising(admin, replicated.admin_url):
            append = asyncio.create_task(store.append([counted("a")], key=uuid4()))
            for _ in range(2):
                await cut_short(admin, "%append_v3%")
            await waiting(admin)
            assert not append.done()
            nameless = asyncio.create_task(store.append([counted("b")]))
        receipt = await append
        assert (receipt.first, receipt.duplicate) == (2, True)
        assert (await nameless).first == 3
        async with unpromising(admin, replicated.admin_url):
            nameless = asyncio.create_task(store.append([counted("c")]))
            await cut_short(admin, "%append_v3%")
            with pytest.raises(OutcomeUnknown, match="without its standby"):
                await nameless
        assert keys(await store.query(ANY)) == ["before", "a", "b", "c"]


@pytest.mark.usefixtures("hushed")
async def test_an_append_over_a_program_s_own_pool_whose_wait_is_cut_short_is_not_answered(
    replicated: Replicated,
) -> None:
    async with (
        connected(replicated.admin_url) as admin,
        asyncpg.create_pool(replicated.url, min_size=1, max_size=2) as pool,
        PostgresEventStore.over(pool) as store,
        unpromising(admin, replicated.admin_url),
    ):
        append = asyncio.create_task(store.append([counted("a")]))
        await cut_short(admin, "%append_v3%")
        with pytest.raises(OutcomeUnknown, match="without its standby"):
            await append


@pytest.mark.usefixtures("hushed")
async def test_a_session_s_transaction_whose_wait_for_the_standby_is_cut_short_is_unknown(
    replicated: Replicated,
) -> None:
    """So that a message is not acknowledged whose command could be lost, for example by a schedule."""
    session = Session(replicated.admin_url, purpose="test")

    async def commit() -> None:
        async with session.transaction() as transaction:
            prepared = await transaction.prepare("SELECT pg_logical_emit_message(true, 'test', '')")
            await prepared.run()

    async with connected(replicated.admin_url) as admin:
        async with unpromising(admin, replicated.admin_url):
            committing = asyncio.create_task(commit())
            await cut_short(admin, "%COMMIT")
            with pytest.raises(OutcomeUnknown, match="without its standby"):
                await committing
        await commit()
    await session.close()


@pytest.mark.usefixtures("hushed")
async def test_a_forgetting_is_not_told_before_a_standby_has_it(replicated: Replicated) -> None:
    """Neither the first nor a repeated one, which finds nothing to do."""
    person = Subject("person", "ada")
    async with connected(replicated.admin_url) as admin, PostgresEventStore.connect(replicated.url) as store:
        await store.make_subject_keys([SubjectKey(id=uuid4(), subject=person, wrapped=b"key")])
        async with unpromising(admin, replicated.admin_url):
            first = asyncio.create_task(forget(replicated.admin_url, person))
            await cut_short(admin, "%forget_v%")
            again = asyncio.create_task(forget(replicated.admin_url, person))
            await cut_short(admin, "%confirmed%")
            await eventually(partial(_commits, admin, "%confirmed%"), what="somebody to wait for the standby")
            assert not first.done()
            assert not again.done()
        assert ((await first).number, (await again).number) == (1, None)


@pytest.mark.usefixtures("hushed")
async def test_a_forgetting_that_was_stopped_is_not_found_before_a_standby_has_it(replicated: Replicated) -> None:
    person = Subject("person", "ada")
    async with connected(replicated.admin_url) as admin, PostgresEventStore.connect(replicated.url) as store:
        await store.make_subject_keys([SubjectKey(id=uuid4(), subject=person, wrapped=b"key")])
        async with unpromising(admin, replicated.admin_url):
            stopped = asyncio.create_task(forget(replicated.admin_url, person))
            await cut_short(admin, "%forget_v%")
            await eventually(partial(_commits, admin, "%confirmed%"), what="it to wait again")
            stopped.cancel()
            await asyncio.wait([stopped])
            found = asyncio.create_task(find_subject(replicated.admin_url, person))
            await cut_short(admin, "%confirmed%")
            await eventually(partial(_commits, admin, "%confirmed%"), what="whoever looks to wait for the standby")
            assert not found.done()
        assert ((await found).made_at, (await found).before) == (None, 1)


@pytest.mark.usefixtures("hushed")
async def test_an_append_under_the_lock_whose_wait_for_the_standby_is_cut_short_is_not_answered(
    replicated: Replicated,
) -> None:
    chain = [Append(events=[counted("a")], boundary=of("a"), after=START, key=uuid4())]
    async with connected(replicated.admin_url) as admin, PostgresEventStore.connect(replicated.url) as store:
        async with unpromising(admin, replicated.admin_url), store.exclusive(limit=10.0, patience=10.0) as held:
            appending = asyncio.create_task(held.append_chain(chain))
            await cut_short(admin, "COMMIT")
            await waiting(admin)
            assert not appending.done()
        (answer,) = await appending
        assert isinstance(answer, Receipt)
        assert (answer.first, answer.duplicate) == (1, True)


async def test_what_is_on_record_without_its_standby_is_not_told(replicated: Replicated) -> None:
    key = uuid4()
    async with (
        connected(replicated.admin_url) as admin,
        PostgresEventStore.connect(replicated.url, read_seconds=0.5) as impatient,
        PostgresEventStore.connect(replicated.url) as store,
    ):
        async with unpromising(admin, replicated.admin_url):
            append = asyncio.create_task(store.append([counted("a")], key=key))
            await cut_short(admin, "%append_v3%")
            await waiting(admin)
            with pytest.raises(StoreUnavailable, match="not confirmed by a synchronous standby"):
                await impatient.receipt(key)
        assert await answered(partial(impatient.receipt, key)) == replace(await append, duplicate=False)


async def test_a_database_that_waits_until_a_replica_shows_a_commit_is_heeded(replicated: Replicated) -> None:
    replica = replicated.replicas[0]
    await execute(replicated.admin_url, f'ALTER DATABASE "{replicated.database}" SET synchronous_commit = remote_apply')
    async with (
        connected(replicated.admin_url) as admin,
        connected(replica.url(replica.admin, replicated.database)) as standby,
        PostgresEventStore.connect(replicated.url) as store,
    ):
        await store.append([counted("a")])
        await replicated.follow()
        async with (
            replicated.paused(replica),
            unpromising(admin, replicated.admin_url, standby=replica.name),
        ):
            append = asyncio.create_task(store.append([counted("a")]))
            # The standby has it on disk, which would be enough for "on".
            await waiting(admin)
            assert await standby.fetchval("SELECT max(sequence_number) FROM eventstore.events") == 1
            await standby.execute("SELECT pg_wal_replay_resume()")
            assert (await append).first == 2
            assert await standby.fetchval("SELECT max(sequence_number) FROM eventstore.events") == 2
