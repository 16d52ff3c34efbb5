"""Migrations: numbered SQL files, each applied once, in order, in a transaction of its own.

Work that takes long on large tables runs before the transaction, while appends continue. The transaction itself is
short, and fails rather than wait for a lock: all appends would wait behind it.

A migration that must also serve releases from before it may have a second step, its finishing, which removes what only
they need. An empty database has no earlier releases, and is finished at once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from eventstore.errors import LockNotAcquired, StoreMisconfigured
from eventstore.postgres.administration.administrator import administrator, transaction
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

# Any number that nothing else in this database uses for an advisory lock; each store derives its own from it.
_LOCK = 4_715_018_260_310_001
_POLL_SECONDS = 0.2
# All appends wait behind a transaction that waits for the tables.
_LOCK_TIMEOUT = "2s"
# The migrations that a separate projections database needs as well, each with a table, or a function with its
# parameters, that shows that it is applied.
_READING = "reading"
_READING_TOO = {
    _READING: "reading.followers",
    "reactions": "reading.moves",
    "skipped_token": "reading.fail_v2(bigint,bigint,bigint,bigint,text,text,text)",
}
# From this version on, the schema's version is in a table of its own.
_OWN_TABLE = 3
_EVENTS = "eventstore.events"
# The purposes of the roles.
_RUNTIME, _PROJECTIONS = "runtime", "projections"
_LOCK_NOT_AVAILABLE = "55P03"
_NO_RIGHT = "42501"
# A duplicate object, or a unique violation in its catalog if another session created it at the same time.
_EXISTS = {"42710", "23505"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What a migration did, or would do.

    Attributes:
        before: The schema's version before; 0 if there was none.
        after: The schema's version after.
        applied: The migrations that were applied.
        finished: The migrations whose second step was applied.
        unfinished: The migrations whose second step is left, so that releases from before them can still run.
        repaired: Descriptions of triggers or values that a restore had left disabled or outdated, and that were
            repaired.
        partitioned: Whether the log was put into partitions, or the size of further ones was changed.
        dry_run: Whether the steps were only listed.
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

    Triggers that protect the events, and that a restore may have left disabled, are enabled again.

    Creates the group roles ``eventstore_runtime`` and ``eventstore_projections`` if they are missing; a worker's login
    role must be a member of the first, and of the second if it runs projections. The roles of a store in another schema
    have its name in place of ``eventstore``.

    Args:
        admin_url: The database URL of the primary, with a role that may create schemas and roles.
        schema: The schema of the store. Other stores in the database are neither read nor changed.
        finish: Whether to remove also what only earlier releases need; by default False. An empty database is finished
            anyway.
        partition_size: Keep the log in partitions, and give each further one this many events. None leaves the layout
            unchanged.
        dry_run: Only report what would be applied; by default False.
        wait_seconds: The timeout in seconds for another running migration.

    Returns:
        What was done. A database that is newer than this program is left unchanged.

    Raises:
        InvalidRequest: The partition size is out of range.
        StoreUnavailable: The server cannot be reached.
        LockNotAcquired: Another migration was running until the timeout.
        StoreMisconfigured: The address, credentials or privileges do not suffice; an earlier release or an old
            transaction blocks the finishing; an object blocks partitioning; a transaction holds the tables for too
            long; or the database's encoding or collations do not fit, and then nothing was changed. The message names
            the cause.

    If the call is cancelled, the running migration is rolled back; those before it stay.
    """
    if partition_size is not None:
        check_size(partition_size)
    wanted = SessionAttribute.any if dry_run else SessionAttribute.read_write
    async with _owner(admin_url, schema, wanted) as connection:
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
            await extend(connection, begin=_extending)
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
    """Migrate a separate projections database: add the objects that projections need.

    Parameters and errors are those of ``migrate``. Running it again changes nothing. The reported versions count only
    the steps of such a database.
    """
    wanted = SessionAttribute.any if dry_run else SessionAttribute.read_write
    async with _owner(admin_url, schema, wanted) as connection:
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


@asynccontextmanager
async def _owner(admin_url: str, schema: str, wanted: SessionAttribute) -> AsyncIterator[SchemaConnection]:
    """Connect as the owner. The advice of other errors about rights is for roles of workers, and would mislead."""
    try:
        async with administrator(admin_url, purpose="worker db migrate", schema=schema, wanted=wanted) as connection:
            yield connection
    except StoreMisconfigured as error:
        if error.code != _NO_RIGHT:
            raise
        raise StoreMisconfigured(
            f"this role has no right to migrate: name the database's owner in the address ({error.__cause__})",
            code=error.code,
        ) from error.__cause__


async def _lock(connection: SchemaConnection, wait_seconds: float) -> None:
    # Polled: a session that waits inside the server holds a snapshot, which would block CREATE INDEX CONCURRENTLY
    # forever.
    number = connection.schema.lock(_LOCK)
    try:
        async with asyncio.timeout(wait_seconds):
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", number):  # noqa: ASYNC110  it waits for another process
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise LockNotAcquired("another migration is under way: wait for it, then try again") from None


async def _version(connection: SchemaConnection) -> tuple[int, int]:
    """Return the schema's version, and the version up to which it is finished; 0 without a schema."""
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
        # In the order in which an append locks them. From here on no earlier release can begin an append.
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
    """Repair what a restore without triggers has left, and return descriptions of it."""
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
                # A trigger of this store's schema; the server quotes both names.
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
        async with transaction(connection):
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            yield
    except DRIVER_ERRORS as error:
        if sqlstate_of(error) != _LOCK_NOT_AVAILABLE:
            raise
        raise StoreMisconfigured(
            f"a transaction has locked the event store's tables for longer than {_LOCK_TIMEOUT}: wait for its end "
            f"(pg_stat_activity shows it), then run `{command}` again"
        ) from error


def _partitioning(connection: SchemaConnection) -> AbstractAsyncContextManager[None]:
    return _short_transaction(connection, "worker db migrate --partition-size")


def _extending(connection: SchemaConnection) -> AbstractAsyncContextManager[None]:
    return _short_transaction(connection, "worker db migrate")


def _named(row: Row) -> str:
    kind = "in a transaction older than the migration" if row["is_transaction"] else f"{row['sessions']} connected"
    return f"{row['name']} (role {row['role']}, {kind})"


async def _prepare_reading(connection: SchemaConnection) -> None:
    await _create_role(connection, _PROJECTIONS)
    # Schemas of projections are created in this role's name, by a function with the privileges of this session's role.
    # A role that may not be granted it can still migrate: the failure is reported when a projection's first schema is
    # created.
    if not await connection.fetchval("SELECT pg_has_role('eventstore_projections', 'MEMBER')"):
        try:
            await connection.execute("GRANT eventstore_projections TO CURRENT_USER")
        except DRIVER_ERRORS as error:
            if sqlstate_of(error) != _NO_RIGHT:
                raise


async def _has(connection: SchemaConnection, name: str) -> bool:
    found = "to_regprocedure" if name.endswith(")") else "to_regclass"
    return bool(await connection.fetchval(f"SELECT {found}($1) IS NOT NULL", connection.schema.render(name)))


async def _create_role(connection: SchemaConnection, purpose: str) -> None:
    name = connection.schema.role(purpose)
    if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name):
        return
    try:
        await connection.execute_as_it_is(f"CREATE ROLE {name} NOLOGIN")
    except DRIVER_ERRORS as error:
        if sqlstate_of(error) not in _EXISTS:
            raise
        return  # roles belong to the whole server: a migration of another database created it first
