"""Holding the lock on a server before PostgreSQL 17, which bounds a transaction by its statements and pauses."""

import asyncio
import secrets
from collections.abc import Iterator
from uuid import uuid4

import pytest

from deploy.local.account import Account
from deploy.local.binaries import system_postgres_folder
from deploy.local.cluster import start_cluster
from deploy.local.postgres import DATABASE, Login, PostgresServer
from deploy.local.reaper_client import ReaperClient
from eventstore import Append, HoldExpired, Receipt
from eventstore.postgres import PostgresEventStore, migrate
from tests.integration.eventstore.questions import ANY, counted, keys
from tests.integration.eventstore.staging import connected


def address(server: PostgresServer, login: Login) -> str:
    return f"postgresql://{login.user}:{login.password}@127.0.0.1:{server.port}/{DATABASE}"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """The system's PostgreSQL, migrated."""
    reaper = ReaperClient(Account.for_servers())
    try:
        admin, worker = (Login(name, secrets.token_hex(16)) for name in ("admin", "worker"))
        programs = system_postgres_folder() / "bin"
        server = start_cluster(reaper, programs=programs, admin=admin, worker=worker, replicas=0).primary
        asyncio.run(migrate(address(server, server.admin)))
        yield server
    finally:
        reaper.close()


async def test_an_older_server_bounds_statements_and_pauses(server: PostgresServer) -> None:
    async with connected(address(server, server.admin)) as admin:
        version = int(await admin.fetchval("SHOW server_version_num"))
    async with PostgresEventStore.connect(address(server, server.worker)) as store:
        async with store.exclusive(limit=5.0) as held:
            (stream,) = await held.query_many([ANY])
            (answer,) = await held.append_chain(
                [Append(events=[counted("a")], boundary=ANY, after=stream.position, key=(key := uuid4()))]
            )
        assert isinstance(answer, Receipt)
        assert await store.receipt(key) == answer
        async with store.exclusive(limit=0.05) as held:
            # Waits for the lock, and has it when the hold has ended.
            assert (await store.append([counted("b")])).first == 2
            with pytest.raises(HoldExpired):
                await held.append_chain([Append(events=[counted("c")], key=uuid4())])
        assert keys(await store.query(ANY)) == ["a", "b"]
    async with connected(address(server, server.worker)) as session, session.transaction():
        await session.fetch("SELECT * FROM eventstore.hold_v1(1000, 10000)")
        names = ("statement_timeout", "idle_in_transaction_session_timeout")
        bounds = [await session.fetchval("SELECT current_setting($1)", name) for name in names]
        # From 17 on there is one for the whole, which the other tests see at work.
        assert bounds == (["10s", "10s"] if version < 170000 else ["0", "0"])
