"""The assembly: the components of a store on PostgreSQL, opened and closed in order."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from eventstore.postgres.appends.appender import Appender
from eventstore.postgres.appends.exclusive import Exclusive
from eventstore.postgres.appends.group_commit import GroupCommit
from eventstore.postgres.appends.room import Room
from eventstore.postgres.compatibility import check_compatibility
from eventstore.postgres.connections.pools import Pools
from eventstore.postgres.metrics import observed
from eventstore.postgres.reads.reader import Reader
from eventstore.postgres.reads.replicas import Replicas
from eventstore.telemetry import Telemetry

__all__ = ["Assembly"]

# Seconds. A server that does not answer must not hold up a caller that closes the store.
_CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """The components of a store.

    Attributes:
        pools: The connection pools.
        reader: Answers queries.
        appender: Records appends.
        exclusive: Runs transactions that take the lock first.
        telemetry: Records the traces and metrics.
        closing: Closes all components; running operations get two seconds to finish.
    """

    pools: Pools
    reader: Reader
    appender: Appender
    exclusive: Exclusive
    telemetry: Telemetry
    closing: AsyncExitStack

    @classmethod
    async def of(
        cls, pools: Pools, telemetry: Telemetry, *, most_lag: int, reach_seconds: float, read_seconds: float
    ) -> Self:
        """Build the components on pools that close with them, also if this fails.

        The keyword arguments are those of ``PostgresEventStore.connect``.

        Raises:
            StoreMisconfigured: The database has no store that fits, as in ``check_compatibility``.
            EventStoreError: The check of the database failed, as a query can fail.
        """
        replicas = Replicas(pools.primary, pools.replicas, most_lag=most_lag)
        reader = Reader(pools, replicas, reach_seconds=reach_seconds, read_seconds=read_seconds)
        room = Room(pools.primary)
        batches = GroupCommit(pools, room, telemetry)
        appender = Appender(batches, reader)
        exclusive = Exclusive(pools, appender, telemetry)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_close, pools, exclusive, batches, reader)
            stack.push_async_callback(room.close)
            await check_compatibility(reader)
            await stack.enter_async_context(replicas.watched())
            stack.enter_context(observed(pools, replicas, reader.counts, room))
            return cls(
                pools=pools,
                reader=reader,
                appender=appender,
                exclusive=exclusive,
                telemetry=telemetry,
                closing=stack.pop_all(),
            )


async def _close(pools: Pools, exclusive: Exclusive, batches: GroupCommit, reader: Reader) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await exclusive.close()
            await batches.close()
            await reader.close()
    except TimeoutError:
        pools.cut()
        await exclusive.close()
        await batches.close()
        await reader.close()
    await pools.close()
