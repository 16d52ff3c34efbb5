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
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from eventstore import StoreMisconfigured, Subject, SubjectKey
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.questions import ANY, counted
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
