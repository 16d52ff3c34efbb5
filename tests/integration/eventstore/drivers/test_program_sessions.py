"""What a program has made of the sessions of its pool (codecs, row factories, timeouts) does not reach the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
import psycopg_pool
import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AssertionPool, Pool, StaticPool

from eventstore import StoreMisconfigured, StoreUnavailable, Subject, SubjectKey
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.questions import ANY, counted, keys, of
from tests.integration.eventstore.staging import Connection, head_locked, waiting
from tests.support.fixtures.databases import Database

_CODECS = {
    "uuid": (str, str),
    "timestamptz": (str, str),
    "int8": (str, lambda text: -int(text)),
    "bytea": (bytes.hex, str),
}


@pytest.mark.parametrize("name", _CODECS)
async def test_a_codec_that_would_change_the_stores_values_is_refused(database: Database, name: str) -> None:
    encoder, decoder = _CODECS[name]

    async def init(connection: Any) -> None:
        await connection.set_type_codec(name, encoder=encoder, decoder=decoder, schema="pg_catalog")

    async with asyncpg.create_pool(database.url, min_size=1, max_size=1, init=init) as pool:
        with pytest.raises(StoreMisconfigured, match=rf"decode {name} by a codec of the program's own "):
            await PostgresEventStore.over(pool)
        # It is given back as it was.
        assert await pool.fetchval("SELECT current_setting('plan_cache_mode')") == "auto"


async def test_loaders_of_a_program_change_nothing_of_the_stores_values(database: Database) -> None:
    class Loader(psycopg.adapt.Loader):
        format = psycopg.pq.Format.BINARY

        def load(self, data: object) -> str:
            return f"not the store's: {data!r}"

    async def configure(connection: Any) -> None:
        for name in ("uuid", "timestamptz", "int8", "int4", "text", "bytea", "bool", "jsonb"):
            connection.adapters.register_loader(name, Loader)

    rows = {"row_factory": psycopg.rows.dict_row, "autocommit": True}
    async with (
        psycopg_pool.AsyncConnectionPool(
            database.url, min_size=1, max_size=2, open=False, configure=configure, kwargs=rows
        ) as pool,
        PostgresEventStore.over(pool) as store,
        PostgresEventStore.connect(database.url) as other,
    ):
        key, subject = uuid4(), SubjectKey(id=uuid4(), subject=Subject("Reader", "ada"), wrapped=b"wrapped")
        await store.append([counted("a")], key=key)
        await store.make_subject_keys([subject])
        assert (await store.query(ANY)).events == (await other.query(ANY)).events
        assert await store.receipts([key], scope="") == await other.receipts([key], scope="")
        assert await store.subject_keys([subject.id]) == {subject.id: subject}


@asynccontextmanager
async def limited(kind: str, url: str) -> AsyncIterator[Any]:
    """A program's pool or engine whose statements may take two seconds."""
    if kind == "asyncpg.Pool":
        async with asyncpg.create_pool(url, min_size=1, max_size=2, command_timeout=2) as pool:
            yield pool
        return
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=2, connect_args={"command_timeout": 2}
    )
    try:
        yield engine
    finally:
        await engine.dispose()


async def sleep(pool: Any) -> None:
    """Have the program itself ask for something that takes long."""
    if isinstance(pool, asyncpg.Pool):
        await pool.execute("SELECT pg_sleep(60)")
    else:
        async with pool.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))


@pytest.mark.parametrize("kind", ["asyncpg.Pool", "AsyncEngine over asyncpg"])
async def test_no_timeout_of_a_program_cuts_an_append_short(database: Database, admin: Connection, kind: str) -> None:
    async with limited(kind, database.url) as pool:
        async with PostgresEventStore.over(pool) as store:
            async with head_locked(database.admin_url):
                append = asyncio.create_task(store.append([counted("a")]))
                await waiting(admin, 1)
                # The program's own statements are cut short meanwhile.
                with pytest.raises(TimeoutError):
                    await sleep(pool)
                assert not append.done()
            assert (await append).first == 1
        # As they are on the connections that the store had.
        with pytest.raises(TimeoutError):
            await asyncio.gather(sleep(pool), sleep(pool))


@pytest.mark.parametrize("library", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("moment", ["connect", "checkout"])
async def test_a_transaction_that_a_listener_has_begun_takes_no_event_with_it(
    database: Database, library: str, moment: str
) -> None:
    engine = create_async_engine(database.url.replace("postgresql://", f"postgresql+{library}://"))

    @event.listens_for(engine.sync_engine, moment)
    def set_up(connection: Any, *_: object) -> None:
        cursor = connection.cursor()
        cursor.execute("SET work_mem = '5MB'")
        cursor.close()

    try:
        async with PostgresEventStore.over(engine) as store:
            receipt = await store.append([counted("a")])
        # What the listener has set is as it was.
        async with engine.connect() as connection:
            assert (await connection.execute(text("SHOW work_mem"))).scalar() == "5MB"
    finally:
        await engine.dispose()
    async with PostgresEventStore.connect(database.url) as other:
        assert await other.position() == receipt.position


async def test_a_transaction_that_a_check_has_begun_takes_no_event_with_it(database: Database) -> None:
    async def check(connection: Any) -> None:
        await connection.execute("SELECT 1")

    async with (
        psycopg_pool.AsyncConnectionPool(database.url, min_size=1, max_size=2, open=False, check=check) as pool,
        PostgresEventStore.over(pool) as store,
        PostgresEventStore.connect(database.url) as other,
    ):
        receipt = await store.append([counted("a")])
        assert await other.position() == receipt.position


async def test_a_pool_that_lends_its_connections_in_a_transaction_is_refused(database: Database) -> None:
    async def setup(connection: Any) -> None:
        await connection.execute("BEGIN")

    async with asyncpg.create_pool(database.url, min_size=1, max_size=1, setup=setup) as pool:
        with pytest.raises(StoreMisconfigured, match="in an open transaction, in which nothing would be recorded"):
            await PostgresEventStore.over(pool)


@pytest.mark.parametrize("kind", [StaticPool, AssertionPool])
async def test_an_engine_without_a_connection_for_each_caller_is_refused(database: Database, kind: type[Pool]) -> None:
    engine = create_async_engine(database.url.replace("postgresql://", "postgresql+psycopg://"), poolclass=kind)
    with pytest.raises(StoreMisconfigured, match=f"with a {kind.__name__} cannot be handed in"):
        await PostgresEventStore.over(engine)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_the_encoding_of_a_programs_sessions_is_not_the_stores(database: Database, encoding: str) -> None:
    kwargs = {"client_encoding": encoding}
    async with (
        psycopg_pool.AsyncConnectionPool(database.url, min_size=1, max_size=2, open=False, kwargs=kwargs) as pool,
        PostgresEventStore.over(pool) as store,
    ):
        await store.append([counted("漢字")])
        assert keys(await store.query(of("漢字"))) == ["漢字"]


@pytest.mark.parametrize("kind", [asyncpg.Pool, psycopg_pool.AsyncConnectionPool])
async def test_a_pool_that_the_program_has_closed_is_told_as_any_other(database: Database, kind: type[Any]) -> None:
    pool: Any
    if kind is asyncpg.Pool:
        pool = await asyncpg.create_pool(database.url, min_size=1)
    else:
        pool = psycopg_pool.AsyncConnectionPool(database.url, min_size=1, open=False)
        await pool.open()
    await pool.close()
    with pytest.raises(StoreUnavailable, match=r"pool .*closed"):
        await PostgresEventStore.over(pool)
