"""Lending: connections of a program's own pool, with the store's settings while the store uses them."""

import asyncio
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventstore.errors import StoreMisconfigured, StoreUnavailable
from eventstore.postgres.connections.translation import translate
from eventstore.postgres.drivers.errors import DRIVER_ERRORS, failure_of
from eventstore.postgres.drivers.handed_in import HandedIn
from eventstore.postgres.drivers.protocol import Connection, ConnectionPool, Failure, Row
from eventstore.postgres.statements import statement
from eventstore.stream import ServerAddress

__all__ = ["LentConnections"]

# Seconds. A server that takes longer to apply the settings of a session counts as silent.
_SECONDS = 5.0
# What the samples of lend.sql are, unless a program decodes their types by a codec of its own.
_SAMPLES: Mapping[str, object] = {
    "uuid": UUID(int=1),
    "timestamptz": datetime(2000, 1, 1, tzinfo=UTC),
    "int8": 1,
    "int4": 1,
    "text": "a",
    "bytea": b"a",
    "bool": True,
}
_IN_TRANSACTION = (
    "the pool that was handed in lends connections in an open transaction, in which nothing would be recorded: end it "
    "in the function that the pool calls for each connection"
)


class LentConnections(ConnectionPool):
    """The connections of a pool that the program handed in.

    A borrowed connection must run no statement of the program: it would be planned with the store's settings.

    Args:
        pool: The pool that lends connections. It is never closed.
        settings: The settings of each session while it is lent.
        types: The types of the results, which the program must not decode by codecs of its own; by default all that the
            store uses.
    """

    def __init__(
        self, pool: HandedIn, settings: Mapping[str, str], *, types: Collection[str] = tuple(_SAMPLES)
    ) -> None:
        self._pool = pool
        self._names, self._values = list(settings), list(settings.values())
        self._types = types
        self._before: dict[Any, Sequence[Row]] = {}

    def __await__(self) -> Generator[Any, None, Any]:
        """See ``ConnectionPool``."""
        return self._pool.__await__()

    async def acquire(self) -> Any:
        """See ``ConnectionPool.acquire``. A connection that ended while idle in its pool is replaced.

        Raises:
            StoreMisconfigured: The program decodes a type of the store's results by a codec of its own, or lends
                connections in a transaction.
        """
        tries = self._pool.get_max_size() + 1
        while True:
            connection = await self._pool.acquire()
            if connection.is_in_transaction():
                await self._discard(connection)
                raise StoreMisconfigured(_IN_TRANSACTION)
            try:
                before = await connection.fetch(statement("lend"), self._names, self._values, timeout=_SECONDS)
            except BaseException as error:
                await self._discard(connection)
                tries -= 1
                # A silent server is not retried: it would be asked once for each connection in the pool.
                if tries > 0 and not isinstance(error, TimeoutError) and _is_loss(error):
                    continue
                raise
            self._before[connection] = before
            if (told := _complaint(before, self._types)) is not None:
                await self.release(connection)
                raise StoreMisconfigured(told)
            return connection

    async def release(self, connection: Any, /, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the protocol's form
        """See ``ConnectionPool.release``. A connection whose settings cannot be restored is closed."""
        before = self._before.pop(connection, ())
        try:
            if before and not connection.is_closed():
                async with asyncio.timeout(timeout):
                    await connection.execute(_undoing(before))
        except DRIVER_ERRORS:
            _terminate(connection)
        except BaseException:
            _terminate(connection)
            raise
        finally:
            await self._pool.release(connection, timeout=timeout)

    async def _discard(self, connection: Any) -> None:
        _terminate(connection)
        with suppress(*DRIVER_ERRORS):
            await self._pool.release(connection, timeout=_SECONDS)

    async def again(self, server: ServerAddress | None) -> Connection:
        """Connect outside the pool's limit to the server that a connection of the pool leads to.

        Raises:
            StoreUnavailable: The server cannot be reached, or the pool now leads to another server.
            EventStoreError: Connecting failed in another way, as ``translate`` classifies it.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                connection = await self._pool.spare()
        except DRIVER_ERRORS as error:
            raise translate(error) from error
        found = self.place_of(connection)
        if server is not None and found != server:
            _terminate(connection)
            raise StoreUnavailable(f"{server} does not answer; {found} does, which is another server")
        return connection

    def place_of(self, connection: Connection) -> ServerAddress | None:
        """Return the server that a connection leads to; None if it is unknown."""
        return self._pool.place_of(connection)

    async def expire_connections(self) -> None:
        """See ``ConnectionPool.expire_connections``."""
        await self._pool.expire_connections()

    def get_size(self) -> int:
        """See ``ConnectionPool.get_size``."""
        return self._pool.get_size()

    def get_idle_size(self) -> int:
        """See ``ConnectionPool.get_idle_size``."""
        return self._pool.get_idle_size()

    def get_max_size(self) -> int:
        """See ``ConnectionPool.get_max_size``."""
        return self._pool.get_max_size()

    def terminate(self) -> None:
        """Terminate the lent connections; the pool stays open."""
        for connection in tuple(self._before):
            _terminate(connection)

    async def close(self) -> None:
        """Do nothing: the pool belongs to the program that handed it in."""


def _complaint(before: Sequence[Row], types: Collection[str]) -> str | None:
    """Return a sentence about one of these types, if a session decodes it otherwise than its driver does, or None.

    A key that is a text instead of a UUID would be found nowhere, and so be taken for deleted.
    """
    for name in types:
        sample = _SAMPLES[name]
        for row in before[:1]:
            if not isinstance(row[name], type(sample)) or row[name] != sample:
                return (
                    f"the connections of the pool that was handed in decode {name} by a codec of the program's own (it "
                    f"returns {row[name]!r}): hand in a pool without that codec"
                )
    return None


def _undoing(before: Sequence[Row]) -> str:
    """Return the statements that restore a session's settings.

    Each setting is reset to the session's default, and then to the value that the program had set, if that differs. So
    a later reader can again tell whether the program had set it.
    """
    resets = "".join(f"RESET {row['name']}; " for row in before)
    values = ", ".join(f"('{row['name']}', {_quoted(row['before'])})" for row in before)
    return (
        f"{resets}SELECT set_config(s.name, s.value, false) FROM (VALUES {values}) AS s (name, value) "  # noqa: S608  names are ours, values quoted
        "WHERE current_setting(s.name) <> s.value"
    )


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def _is_loss(error: BaseException) -> bool:
    return isinstance(error, DRIVER_ERRORS) and failure_of(error) is Failure.LOSS


def _terminate(connection: Any) -> None:
    with suppress(*DRIVER_ERRORS):
        connection.terminate()
