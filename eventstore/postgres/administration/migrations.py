"""Migrations: numbered SQL files, each applied once, in order, in a transaction of its own.

What takes long on large tables is prepared before the transaction, while appends go on. A transaction itself is short,
and gives up where it would have to wait: everybody would wait behind it.

One that builds from before it can live with may have a second step, its finishing: it takes away what only they need.
An empty database has no builds from before, and is finished at once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from eventstore.errors import LockNotAcquired, StoreMisconfigured
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.administration.database_settings import check_surroundings
from eventstore.postgres.administration.partitioning import check_size, extend, partition
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.connections.session_name import MARK, UNNAMED
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.postgres.drivers.errors import DRIVER_ERRORS, sqlstate_of
from eventstore.postgres.drivers.protocol import Row
from eventstore.postgres.statements import Migration, migrations, statement
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["MigrationReport", "migrate", "migrate_reading"]

# Any number that nobody else uses for an advisory lock in this database; each store makes one of its own of it.
_LOCK = 4_715_018_260_310_001
_POLL_SECONDS = 0.2
# Everybody waits behind whoever waits for the tables.
_LOCK_TIMEOUT = "2s"
# The migrations that another database than the store's may have, too, each with what shows that it is there.
_READING = "reading"
_READING_TOO = {_READING: "reading.followers", "reactions": "reading.moves"}
# From this version on, the schema's version has a table of its own.
_OWN_TABLE = 3
_EVENTS = "eventstore.events"
# The purposes of the roles.
_RUNTIME, _PROJECTIONS = "runtime", "projections"
_LOCK_NOT_AVAILABLE = "55P03"
_NO_RIGHT = "42501"
# A duplicate object, or what its catalog's index says of one that was made meanwhile.
_EXISTS = {"42710", "23505"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What a migration did, or would do.

    Attributes:
        before: The schema's version before; 0 for none.
        after: The version after.
        applied: The migrations in between.
        finished: Those whose second step was taken.
        unfinished: Those whose second step is left: builds from before them are served.
        repaired: What a restore had left switched off or behind, and was set again.
        partitioned: Whether the log was put into partitions, or further ones got another size.
        dry_run: Whether they were only listed.
    """

    before: int
    after: int
    applied: tuple[Migration, ...]
    finished: tuple[Migration, ...] = ()
    unfinished: tuple[Migration, ...] = ()
    repaired: tuple[str, ...] = ()
    partitioned: bool = False
    dry_run: bool


async def migrate(
    admin_url: str,
    *,
    schema: str = DEFAULT_SCHEMA,
    finish: bool = False,
    partition_size: int | None = None,
    dry_run: bool = False,
    wait_seconds: float = 60.0,
) -> MigrationReport:
    """Bring a database's event store to this program's schema version. Running it again changes nothing.

    What guards the events, and a restore may have left switched off, is switched on again.

    Creates the group roles ``eventstore_runtime`` and ``eventstore_projections`` if they are missing; a worker's login
    role must be a member of the first, and of the second where it runs projections. Those of a store in another schema
    have its name in the place of ``eventstore``.

    Args:
        admin_url: The address of the primary, with a role that may create schemas and roles.
        schema: The schema of the store. A database may have others beside it, of which nothing is seen or changed.
        finish: Also take away what only older builds need. An empty database is finished anyway.
        partition_size: Keep the log in partitions, and have each further one take so many events. None leaves the
            layout as it is.
        dry_run: Only say what would be applied.
        wait_seconds: How long another migration may keep this one waiting.

    Returns:
        What was done. A database that is newer than this program is left as it is.

    Raises:
        InvalidRequest: Partitions may not be so large.
        StoreUnavailable: The server cannot be reached.
        LockNotAcquired: Another migration was under way all the time.
        StoreMisconfigured: The address, the credentials or the rights do not suffice; or an older build, or a
            transaction older than the migration, stands in the way of its finishing, or something in the way of
            partitions. The message names it. Or the database's encoding or collations are no use; nothing was changed
            then.

    On cancellation, the migration under way is rolled back; those before it stay.
    """
    if partition_size is not None:
        check_size(partition_size)
    wanted = SessionAttribute.any if dry_run else SessionAttribute.read_write
    async with administrator(admin_url, purpose="worker db migrate", schema=schema, wanted=wanted) as connection:
        await check_surroundings(connection)
        await _lock(connection, wait_seconds)
        before, finished = await _version(connection)
        pending = tuple(migration for migration in migrations() if migration.version > before)
        unfinished = tuple(each for each in migrations() if each.version > finished and each.finishing is not None)
        taken = unfinished if finish or before == 0 else ()
        if not dry_run:
            for migration in pending:
                await _apply(connection, migration)
            if taken:
                await _finish(connection, taken, empty=before == 0)
        repaired = await _repair(connection, dry_run=dry_run) if before else ()
        partitioned = False
        if partition_size is not None:
            partitioned = await partition(
                connection, partition_size, finished=set(unfinished) == set(taken), begin=_partitioning, dry_run=dry_run
            )
        if not dry_run:
            await extend(connection)
    return MigrationReport(
        before=before,
        after=before + len(pending),
        applied=pending,
        finished=taken,
        unfinished=tuple(each for each in unfinished if each not in taken),
        repaired=repaired,
        partitioned=partitioned,
        dry_run=dry_run,
    )


async def migrate_reading(
    admin_url: str, *, schema: str = DEFAULT_SCHEMA, dry_run: bool = False, wait_seconds: float = 60.0
) -> MigrationReport:
    """Bring to a database what projections need of it, where it is another one than the event store's.

    Arguments and errors are those of ``migrate``. Running it again changes nothing. The versions that are reported
    count its own steps.
    """
    wanted = SessionAttribute.any if dry_run else SessionAttribute.read_write
    async with administrator(admin_url, purpose="worker db migrate", schema=schema, wanted=wanted) as connection:
        await _lock(connection, wait_seconds)
        wanted_too = [each for each in migrations() if each.name in _READING_TOO]
        pending = tuple([each for each in wanted_too if not await _has(connection, _READING_TOO[each.name])])
        if pending and not dry_run:
            await _prepare_reading(connection)
            async with _short_transaction(connection, "worker db migrate --projections"):
                for migration in pending:
                    await connection.execute(migration.sql)
    after = len(_READING_TOO)
    return MigrationReport(before=after - len(pending), after=after, applied=pending, dry_run=dry_run)


async def _lock(connection: SchemaConnection, wait_seconds: float) -> None:
    # Polled: whoever waits inside the server holds a snapshot, which would block CREATE INDEX CONCURRENTLY for good.
    number = connection.schema.lock(_LOCK)
    try:
        async with asyncio.timeout(wait_seconds):
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", number):  # noqa: ASYNC110  it waits for another process
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise LockNotAcquired("another migration is under way: wait for it, then try again") from None


async def _version(connection: SchemaConnection) -> tuple[int, int]:
    """Return the schema's version, and the one up to which it is finished; 0 without a schema."""
    if await connection.fetchval("SELECT to_regclass('eventstore.schema_version') IS NOT NULL"):
        row = await connection.fetchrow("SELECT version, finished FROM eventstore.schema_version")
        return (row["version"], row["finished"]) if row is not None else (0, 0)
    if await connection.fetchval("SELECT to_regclass('eventstore.store') IS NULL"):
        return 0, 0
    return int(await connection.fetchval("SELECT schema_version FROM eventstore.store")), 0


async def _apply(connection: SchemaConnection, migration: Migration) -> None:
    if migration.version == 1:
        await _create_role(connection, _RUNTIME)
    if migration.name == _READING:
        await _prepare_reading(connection)
    for sql in migration.preparing:
        await connection.execute(sql)
    async with _short_transaction(connection, "worker db migrate"):
        if migration.version == 1:
            await connection.execute("CREATE SCHEMA IF NOT EXISTS eventstore")
        await connection.execute(migration.sql)
        if migration.version < _OWN_TABLE:
            await connection.execute("UPDATE eventstore.store SET schema_version = $1", migration.version)
        else:
            await connection.execute(
                "UPDATE eventstore.schema_version SET version = $1, migrated_at = clock_timestamp()", migration.version
            )


async def _finish(connection: SchemaConnection, wanted: tuple[Migration, ...], *, empty: bool) -> None:
    async with _short_transaction(connection, "worker db migrate --finish"):
        # In the order in which an append takes them. From here on no older build can begin anything.
        await connection.execute("LOCK TABLE eventstore.store IN ACCESS EXCLUSIVE MODE")
        await connection.execute("LOCK TABLE eventstore.events IN ACCESS EXCLUSIVE MODE")
        if not empty and (rows := await connection.fetch(statement("older_sessions"), MARK, UNNAMED)):
            named = ", ".join(map(_named, rows))
            raise StoreMisconfigured(
                f"an older build may still be at work: {named}; stop it, then run `worker db migrate --finish` again"
            )
        for migration in wanted:
            if migration.finishing is not None:
                await connection.execute(migration.finishing)
        await connection.execute("UPDATE eventstore.schema_version SET finished = $1", wanted[-1].version)


async def _repair(connection: SchemaConnection, *, dry_run: bool) -> tuple[str, ...]:
    """Set again what a restore that leaves out triggers has left, and say what that was."""
    (found,) = await connection.fetch(statement("disrepair"))
    silent = list(zip(found["tables"], found["triggers"], strict=True))
    events = connection.schema.render(_EVENTS)
    repaired = [
        f"the trigger {name}{'' if table == events else f' of {table}'}, which did not always fire"
        for table, name in silent
    ]
    if found["behind"]:
        repaired.append("the head that older builds read, which was not the log's")
    if repaired and not dry_run:
        async with _short_transaction(connection, "worker db migrate"):
            for table, name in silent:
                # A trigger of this schema's own; both names are quoted by the server.
                await connection.execute_as_it_is(
                    await connection.fetchval(
                        "SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', $1::text::regclass, $2::text)",
                        table,
                        name,
                    )
                )
            if found["behind"]:
                await connection.execute(statement("set_head"))
    return tuple(repaired)


@asynccontextmanager
async def _short_transaction(connection: SchemaConnection, command: str) -> AsyncIterator[None]:
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            yield
    except DRIVER_ERRORS as error:
        if sqlstate_of(error) != _LOCK_NOT_AVAILABLE:
            raise
        raise StoreMisconfigured(
            f"a transaction keeps the event store's tables for longer than {_LOCK_TIMEOUT}: wait for its end "
            f"(pg_stat_activity shows it), then run `{command}` again"
        ) from error


def _partitioning(connection: SchemaConnection) -> AbstractAsyncContextManager[None]:
    return _short_transaction(connection, "worker db migrate --partition-size")


def _named(row: Row) -> str:
    kind = "in a transaction older than the migration" if row["is_transaction"] else f"{row['sessions']} connected"
    return f"{row['name']} (role {row['role']}, {kind})"


async def _prepare_reading(connection: SchemaConnection) -> None:
    await _create_role(connection, _PROJECTIONS)
    # Schemas are made in its name, by a function that has the rights of this session's role.
    # Who may not have that can still migrate: it is missed, and told, where a projection's first schema is made.
    if not await connection.fetchval("SELECT pg_has_role('eventstore_projections', 'MEMBER')"):
        try:
            await connection.execute("GRANT eventstore_projections TO CURRENT_USER")
        except DRIVER_ERRORS as error:
            if sqlstate_of(error) != _NO_RIGHT:
                raise


async def _has(connection: SchemaConnection, name: str) -> bool:
    return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", connection.schema.render(name)))


async def _create_role(connection: SchemaConnection, purpose: str) -> None:
    name = connection.schema.role(purpose)
    if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name):
        return
    try:
        await connection.execute_as_it_is(f"CREATE ROLE {name} NOLOGIN")
    except DRIVER_ERRORS as error:
        if sqlstate_of(error) not in _EXISTS:
            raise
        return  # roles belong to the whole server: a migration of another database was faster
