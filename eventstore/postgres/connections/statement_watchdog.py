"""The statement watchdog: finds out whether an append without an answer waits in the server or its connection is dead.

An append has no timeout: if it is cut short, it is unknown whether it was committed. But a network that drops packets
would block it, and all appends queued behind it, until the kernel gives up the connection.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventstore.errors import EventStoreError
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.translation import DRIVER_ERRORS, FULL, translate
from eventstore.postgres.drivers.protocol import Connection
from eventstore.postgres.statements import statement
from eventstore.stream import ServerAddress

__all__ = ["watched"]

_log = logging.getLogger(__name__)

# Seconds without an answer before the server is asked about the statement, and the timeout for that query.
_PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 5.0


@asynccontextmanager
async def watched(connection: Connection, pool: Pool) -> AsyncIterator[None]:
    """Terminate a connection if its server is not working on the statement that was sent on it.

    The statement then fails as on any lost connection. Nothing is cancelled: the server may still finish it.

    Args:
        connection: The connection that the statement is sent on.
        pool: The server's pool. A separate connection asks the server: all pooled ones may be waiting for this
            statement.
    """
    watching: list[asyncio.Task[None]] = []

    def suspect() -> None:
        watching.append(asyncio.create_task(_watch(connection, pool)))

    # Nearly always the answer comes in time, and the timer is the only cost.
    timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, suspect)
    try:
        yield
    finally:
        timer.cancel()
        for task in watching:
            task.cancel()


async def _watch(connection: Connection, pool: Pool) -> None:
    process, server = connection.get_server_pid(), pool.server_of(connection)
    while await _works(process, pool, server):  # noqa: ASYNC110  it waits for another process
        await asyncio.sleep(_PATIENCE_SECONDS)
    _log.warning("the connection to %s does not respond: it is closed", server or pool.address)
    connection.terminate()


async def _works(process: int, pool: Pool, server: ServerAddress | None) -> bool:
    """Whether the server works on a process's statement, even if it waits for a lock or a standby.

    The connections to a server that does not answer are retired, so that a retry does not wait for it again.
    """
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            connection = await pool.again(server)
            try:
                return bool(await connection.fetch(statement("activity"), process))
            finally:
                connection.terminate()
    except (*DRIVER_ERRORS, EventStoreError) as error:
        if isinstance(error, EventStoreError) and error.code == FULL:
            return True  # a server without free connections is not silent
        told = error if isinstance(error, EventStoreError) else translate(error)
        _log.warning("%s does not tell whether an append was recorded: %s", server or pool.address, told)
        await pool.renew()
        return False
