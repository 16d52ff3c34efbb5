"""Silence: an append that gets no answer either waits in the server, or its connection is dead.

An append has no time limit: whoever cuts one short does not know whether it happened. But a network that swallows
packets would hold it, and all that queue behind it, for as long as the kernel believes in the connection.
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

# How long nothing is asked about a statement without an answer, and how long the server may take to tell.
_PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 5.0


@asynccontextmanager
async def watched(connection: Connection, pool: Pool) -> AsyncIterator[None]:
    """End a connection on which a statement is under way that its server does not work at.

    The statement then fails as on any lost connection. Nothing is cancelled: what the server was told to do, it may
    still do.

    Args:
        connection: On which the statement is sent.
        pool: Its server, which is asked by a connection made for that: all others may be busy waiting for this one.
    """
    watching: list[asyncio.Task[None]] = []

    def suspect() -> None:
        watching.append(asyncio.create_task(_watch(connection, pool)))

    # Nearly always there is an answer in time, and this is all that it costs.
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
    _log.warning("the connection to %s has been silent: it is given up", server or pool.address)
    connection.terminate()


async def _works(process: int, pool: Pool, server: ServerAddress | None) -> bool:
    """Whether a server works at a process's statement, if only by waiting for its turn or for a standby.

    One that does not answer is left: what is sent again must not wait for it again on another connection.
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
            return True  # a server that has no connection left is not silent
        told = error if isinstance(error, EventStoreError) else translate(error)
        _log.warning("%s does not tell what became of an append: %s", server or pool.address, told)
        await pool.renew()
        return False
