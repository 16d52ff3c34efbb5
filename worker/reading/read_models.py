"""Read models, for programs that read projections' tables: their position, and waiting for a reply's position."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from eventstore import Position
from eventstore.postgres import LentReads, Schema, Session
from eventstore.schema_name import DEFAULT_SCHEMA
from worker.errors import PositionNotProjected, ProjectionError
from worker.reading.builds import KIND

__all__ = ["ReadModels"]

_POSITION = "SELECT number, token FROM reading.position_v1($1, $2, $3)"
_FIRST_POLL, _LONGEST_POLL = 0.01, 0.1
_PURPOSE = "read models"


class _Reads(Protocol):
    async def fetch(self, sql: str, *values: object) -> Sequence[Mapping[str, Any]]: ...

    async def close(self) -> None: ...


class _OwnConnection:
    def __init__(self, url: str) -> None:
        self._session = Session(url, purpose=_PURPOSE, reads=True)
        self._turn = asyncio.Lock()

    async def fetch(self, sql: str, *values: object) -> Sequence[Mapping[str, Any]]:
        async with self._turn, self._session.transaction() as transaction:
            return await transaction.fetch(sql, *values)

    async def close(self) -> None:
        await self._session.close()


class ReadModels:
    """The positions of projections, from the database of their tables.

    ::

        async with ReadModels(url) as models:  # or ReadModels.over(pool)
            reply = await publisher.request("library", "LendBookCopyToReader", command)
            await models.wait_for("library.books-lent-out", reply.position)
            ...  # what is read from now on includes the reply's outcome

    Safe to share between the tasks of one event loop. On a connection of its own, they are served one after another.

    Args:
        url: Address of that database, or of its replica, as the role that reads the tables; the role needs no right but
            to connect. Use the server that is then read from: another one may have a later position.
        schema: The schema of the store whose events the projections follow.
    """

    def __init__(self, url: str, *, schema: str = DEFAULT_SCHEMA) -> None:
        self._schema = Schema(schema)
        self._reads: _Reads = _OwnConnection(url)

    @classmethod
    def over(cls, pool_or_engine: object, *, schema: str = DEFAULT_SCHEMA) -> Self:
        """Use connections that the program has: the pool or engine with which it reads the tables.

        Each call takes a connection and returns it unchanged. The pool is never closed.

        Args:
            pool_or_engine: An ``asyncpg.Pool``, a ``psycopg_pool.AsyncConnectionPool``, or an SQLAlchemy
                ``AsyncEngine`` over asyncpg or psycopg.
            schema: The schema of the store whose events the projections follow.

        Raises:
            StoreMisconfigured: The argument is something else.
        """
        made = cls.__new__(cls)
        made._schema = Schema(schema)  # noqa: SLF001  its own
        made._reads = LentReads(pool_or_engine, purpose=_PURPOSE)  # noqa: SLF001  its own
        return made

    async def position(self, projection: str) -> Position:
        """Return the position of a projection.

        Args:
            projection: Its name, as ``domain.projection``.

        Raises:
            ProjectionError: There is no projection of this name, or it was never run.
            EventStoreError: The database cannot be read.
        """
        domain, _, name = projection.partition(".")
        rows = await self._reads.fetch(self._schema.render(_POSITION), KIND, domain, name)
        if not rows:
            raise ProjectionError(f"there is no projection {projection!r} here; names have the form domain.projection")
        return Position(number=rows[0]["number"], token=rows[0]["token"])

    async def wait_for(self, projection: str, position: Position, *, seconds: float = 5.0) -> Position:
        """Wait until a projection includes everything up to a position.

        Args:
            projection: Its name, as ``domain.projection``.
            position: The position of a reply, of a receipt, or of the store.
            seconds: The longest time to wait, in seconds.

        Returns:
            The projection's position.

        Raises:
            PositionNotProjected: It was not reached in time: the projection lags, is stopped, or no process runs it.
            ProjectionError, EventStoreError: The position cannot be read: as in ``position``.

        Safe to cancel.
        """
        deadline, poll = time.monotonic() + seconds, _FIRST_POLL
        while True:
            at = await self.position(projection)
            if at.number >= position.number:
                return at
            if time.monotonic() + poll > deadline:
                raise PositionNotProjected(
                    f"{projection} is at event {at.number}, and did not come to {position.number} within {seconds:g} s"
                )
            await asyncio.sleep(poll)
            poll = min(2 * poll, _LONGEST_POLL)

    async def close(self) -> None:
        """Close the connection if it is this object's own. Safe to repeat."""
        await self._reads.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
