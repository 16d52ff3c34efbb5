"""Partitioning: the log's one table becomes the first of many, each for a range of numbers, while appends go on."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from eventstore.errors import InvalidRequest, StoreMisconfigured
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.postgres.statements import statement

__all__ = ["LEAST_SIZE", "check_size", "extend", "partition"]

LEAST_SIZE = 10_000
"""How many events a partition takes at least: a few appends of many, so that what is made ahead is made in time."""

_MOST_SIZE = 2**48

Begin = Callable[[SchemaConnection], AbstractAsyncContextManager[None]]


def check_size(size: int) -> None:
    """Make sure that partitions may be so large.

    Raises:
        InvalidRequest: They may not.
    """
    if not LEAST_SIZE <= size <= _MOST_SIZE:
        raise InvalidRequest(f"a partition's size lies between {LEAST_SIZE:,} and {_MOST_SIZE:,}, not at {size:,}")


async def partition(connection: SchemaConnection, size: int, *, finished: bool, begin: Begin, dry_run: bool) -> bool:
    """Keep the log in partitions from now on, or further ones in another size.

    Its table becomes the first partition: no event is moved. Each step may be broken off, and is then gone on with.

    Args:
        connection: The schema's owner's.
        size: How many events each further partition takes.
        finished: Whether no older build is served.
        begin: Begins a transaction that does not wait long for a lock.
        dry_run: Only tell.

    Returns:
        Whether there was anything to do.

    Raises:
        StoreMisconfigured: Older builds are served; or something holds on to the table itself, and would not see the
            partitions that follow; or a transaction has it for too long.
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
            f"what holds on to the table of events would not see further partitions: {', '.join(found['obstacles'])}; "
            "drop it, run this again, then make it anew"
        )
    if not dry_run:
        async with begin(connection):
            await connection.fetch(statement("bound_events"), size)
        # No lock that an append or a read waits for: it reads the whole table.
        await connection.execute(statement("validate_bound"))
        async with begin(connection):
            await connection.fetch(statement("partition_events"), size)
    return True


async def extend(connection: SchemaConnection) -> None:
    """Make further partitions, if it is time; and have the log's end looked for where it is now."""
    if await _knows_partitions(connection):
        await connection.execute("SELECT eventstore.define_head()")
        await connection.fetch(statement("extend"), 1)


async def _knows_partitions(connection: SchemaConnection) -> bool:
    return bool(await connection.fetchval("SELECT to_regprocedure('eventstore.define_head()') IS NOT NULL"))
