"""Partitioning: the log's single table becomes the first of many partitions by sequence number, while appends go on."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from eventstore.errors import InvalidRequest, StoreMisconfigured
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.postgres.statements import statement

__all__ = ["LEAST_SIZE", "check_size", "extend", "partition"]

LEAST_SIZE = 10_000
"""The smallest partition size in events: so large that the next partition is created in time even for large appends."""

_MOST_SIZE = 2**48

Begin = Callable[[SchemaConnection], AbstractAsyncContextManager[None]]


def check_size(size: int) -> None:
    """Check the size of partitions.

    Raises:
        InvalidRequest: The size is below ``LEAST_SIZE`` or above 2**48.
    """
    if not LEAST_SIZE <= size <= _MOST_SIZE:
        raise InvalidRequest(f"a partition's size must be from {LEAST_SIZE:,} to {_MOST_SIZE:,}, not {size:,}")


async def partition(connection: SchemaConnection, size: int, *, finished: bool, begin: Begin, dry_run: bool) -> bool:
    """Put the log into partitions, or change the size of further ones.

    The present table becomes the first partition: no event is moved. If a step is interrupted, a later call continues.

    Args:
        connection: A connection with the role that owns the schema.
        size: The number of events in each further partition.
        finished: Whether no earlier release can still run.
        begin: Begins a transaction that waits only briefly for locks.
        dry_run: Change nothing, and return what would be done.

    Returns:
        Whether there was anything to do.

    Raises:
        StoreMisconfigured: Earlier releases can still run; an object depends on the table itself and would miss further
            partitions; or a transaction holds the table for too long.
    """
    if not await _knows_partitions(connection):
        return True  # a dry run
    (found,) = await connection.fetch(statement("partitioning"))
    if found["size"] == size:
        return False
    if found["size"] is not None:
        if not dry_run:
            await connection.execute(statement("resize_partitions"), size)
        return True
    if not finished:
        raise StoreMisconfigured(
            "older builds are still served, which know one table of events: run `worker db migrate --finish` first"
        )
    if found["obstacles"]:
        raise StoreMisconfigured(
            "objects that depend on the table of events would not see further partitions: "
            f"{', '.join(found['obstacles'])}; drop them, run this again, then create them again"
        )
    if not dry_run:
        async with begin(connection):
            await connection.fetch(statement("bound_events"), size)
        # This takes no lock that appends or reads wait for, although it reads the whole table.
        await connection.execute(statement("validate_bound"))
        async with begin(connection):
            await connection.fetch(statement("partition_events"), size)
    return True


async def extend(connection: SchemaConnection, *, begin: Begin) -> None:
    """Create further partitions if they are due, and define anew where the log's end is looked for.

    Args:
        connection: A connection with the role that owns the schema.
        begin: Begins a transaction that waits only briefly for locks.

    Raises:
        StoreMisconfigured: A transaction holds the table for too long.
    """
    if not await _knows_partitions(connection):
        return
    (found,) = await connection.fetch(statement("partitioning"))
    if found["size"] is not None:
        async with begin(connection):
            # An append that creates a partition holds this lock until it has defined the same functions.
            await connection.execute("LOCK TABLE ONLY eventstore.events IN SHARE UPDATE EXCLUSIVE MODE")
            await connection.execute("SELECT eventstore.define_head()")
    await connection.fetch(statement("extend"), 1)


async def _knows_partitions(connection: SchemaConnection) -> bool:
    return bool(await connection.fetchval("SELECT to_regprocedure('eventstore.define_head()') IS NOT NULL"))
