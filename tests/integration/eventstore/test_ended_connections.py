"""Connections that the server ends while they rest: no caller is to notice at its next statement."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from eventstore import OutcomeUnknown
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.turn import Turn
from eventstore.postgres.drivers.protocol import Connection as StoreConnection
from tests.integration.eventstore.questions import ANY, counted, keys, numbers
from tests.integration.eventstore.staging import Connection, connected, room_made
from tests.support.fixtures.databases import Database

_END = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def end(admin: Connection) -> None:
    """End all connections but this one. A store may have read of it by now, or have not."""
    assert await admin.fetchval(_END) > 0


async def test_a_query_is_asked_once_more(store: PostgresEventStore, admin: Connection) -> None:
    await store.append([counted("a")])
    for _ in range(10):
        await store.query(ANY)
        await end(admin)
        assert keys(await store.query(ANY)) == ["a"]
        await end(admin)
        assert [event.sequence_number async for event in store.read(ANY)] == [1]
        await end(admin)
        assert await store.receipts([uuid4()], scope="a") == {}


async def test_an_append_with_a_key_is_recorded_once(store: PostgresEventStore, admin: Connection) -> None:
    for number in range(1, 11):
        await end(admin)
        assert (await store.append([counted("a")], key=uuid4())).first == number
    assert numbers(await store.query(ANY)) == list(range(1, 11))


class Failed:
    """A connection in the state in which the driver has read the server's last words and not yet the end.

    Args:
        connection: A real one.
        turns: Whether the driver fails only in a later turn of the loop.
    """

    def __init__(self, connection: StoreConnection, *, turns: bool) -> None:
        self._connection = connection
        self._turns = turns
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, *_: object, **__: object) -> object:
        self.asked += 1
        if self._turns:
            await asyncio.sleep(0)
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")


@pytest.mark.parametrize("turns", [False, True], ids=["at once", "later"])
async def test_an_append_without_a_key_is_sent_again_if_it_was_not_sent(
    store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch, *, turns: bool
) -> None:
    """The driver refuses before it writes, or the connection broke when the statement may have been read."""
    await store.append([counted("a")])
    await room_made(store)
    line = store._appender._batches._sticky
    failed = Failed(await line.take(), turns=turns)
    await line.rest()
    monkeypatch.setattr(line, "_kept", failed)
    monkeypatch.setattr(Pool, "release", released(failed))
    if turns:
        with pytest.raises(OutcomeUnknown):
            await store.append([counted("b")])
    else:
        assert (await store.append([counted("b")])).first == 2
    assert failed.asked == 1


def released(failed: Failed) -> Callable[[Pool, Any], Awaitable[None]]:
    """Gives back to the pool what it knows."""
    release = Pool.release

    async def unwrapped(pool: Pool, connection: Any) -> None:
        await release(pool, failed._connection if connection is failed else connection)

    return unwrapped


async def test_the_driver_refuses_a_statement_in_the_turn_of_the_call(database: Database) -> None:
    """What ``Turn`` relies on, shown with the driver: it looks at the connection before it writes."""
    async with connected(database.url) as session:
        await session.fetch("SELECT 1")
        protocol: Any = getattr(session, "_protocol")  # noqa: B009  the driver does not declare it
        # The server's last words, as the driver reads them before the end of the connection.
        message = b"SFATAL\0C57P01\0Mterminating connection\0\0"
        protocol.data_received(b"E" + (len(message) + 4).to_bytes(4, "big") + message)
        turn = Turn()
        with pytest.raises(asyncpg.InternalClientError, match="cannot switch to state"), turn:
            await session.fetch("SELECT 1")
        assert not turn.over
    async with connected(database.url) as session:
        with (turn := Turn()):
            await session.fetch("SELECT 1")
        assert turn.over
