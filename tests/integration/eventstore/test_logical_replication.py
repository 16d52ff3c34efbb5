"""A subscription, which applies another database's changes row by row, as no statement and in nobody's name."""

from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

from deploy.local.postgres import PostgresServer
from deploy.local.stack import LocalStack
from eventstore.postgres import PostgresEventStore, migrate
from tests.integration.eventstore.questions import ANY, counted
from tests.integration.eventstore.staging import Connection, connected
from tests.support.fixtures.waiting import eventually

SOURCE, TARGET = "source", "target"
ERRORS = "SELECT apply_error_count FROM pg_stat_subscription_stats WHERE subname = 'followed'"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that can be followed."""
    with LocalStack(replicas=0, broker=False) as stack:
        # What ALTER SYSTEM writes is written anew at each start.
        with (stack.primary.data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("wal_level = logical\nwal_retrieve_retry_interval = 10ms\n")
        stack.primary.restart()
        yield stack.primary


@pytest.fixture
async def pair(server: PostgresServer) -> AsyncIterator[tuple[Connection, Connection]]:
    """Two databases with the same event in each; the second follows the first, where nothing guards the events."""
    source, target = (server.url(server.admin, name) for name in (SOURCE, TARGET))
    for name in (SOURCE, TARGET):
        server.query(f"CREATE DATABASE {name}")
        await migrate(server.url(server.admin, name))
    async with PostgresEventStore.connect(server.url(server.worker, TARGET)) as store:
        await store.append([counted("a")])
    async with connected(source) as there, connected(target) as here:
        for trigger in ("events_are_facts", "event_is_a_fact"):
            await there.execute(f"ALTER TABLE eventstore.events DISABLE TRIGGER {trigger}")
        row = await here.fetchrow("SELECT * FROM eventstore.events")
        assert row is not None
        await there.execute("INSERT INTO eventstore.events VALUES ($1, $2, $3, $4, $5, $6)", *row)
        await there.execute("CREATE PUBLICATION changes FOR TABLE eventstore.events")
        # The server follows itself, and would wait for this very statement to make the slot.
        await there.execute("SELECT pg_create_logical_replication_slot('followed', 'pgoutput')")
        await here.execute(
            f"CREATE SUBSCRIPTION followed CONNECTION '{source}' PUBLICATION changes WITH (copy_data = off, "
            "create_slot = off, slot_name = followed)"
        )
        try:
            yield there, here
        finally:
            await here.execute("ALTER SUBSCRIPTION followed DISABLE")
            await here.execute("ALTER SUBSCRIPTION followed SET (slot_name = NONE)")
            await here.execute("DROP SUBSCRIPTION followed")
            await eventually(partial(_is_released, there), what="the slot to be free")
            await there.execute("SELECT pg_drop_replication_slot('followed')")
    for name in (SOURCE, TARGET):
        server.query(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE eventstore.events SET event_type = 'Other'",
        "UPDATE eventstore.events SET sequence_number = 7",
        "DELETE FROM eventstore.events",
        "TRUNCATE eventstore.events",
    ],
)
async def test_a_subscription_changes_no_event(
    pair: tuple[Connection, Connection], server: PostgresServer, change: str
) -> None:
    there, here = pair
    async with PostgresEventStore.connect(server.url(server.worker, TARGET)) as store:
        before = await store.query(ANY)
        await there.execute(change)
        await eventually(partial(_was_refused, here), what="the change to be refused")
        assert await store.query(ANY) == before
        assert (await store.append([counted("b")])).first == 2


async def test_a_subscription_may_bring_events(pair: tuple[Connection, Connection], server: PostgresServer) -> None:
    there, _ = pair
    await there.execute(
        "INSERT INTO eventstore.events SELECT 2, token, event_type, occurred_at, payload, metadata "
        "FROM eventstore.events"
    )
    async with PostgresEventStore.connect(server.url(server.worker, TARGET)) as store:
        await eventually(partial(_has, store, 2), what="the event to come")


async def _was_refused(here: Connection) -> bool:
    return bool(await here.fetchval(ERRORS))


async def _is_released(there: Connection) -> bool:
    return await there.fetchval("SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'followed'") is True


async def _has(store: PostgresEventStore, number: int) -> bool:
    return (await store.query(ANY)).position.number == number
