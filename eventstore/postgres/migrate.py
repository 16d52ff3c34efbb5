"""Migrations: numbered SQL files, each applied once, in order, in a transaction of its own."""

import asyncio
from dataclasses import dataclass

import asyncpg

from eventstore.errors import StoreUnavailable
from eventstore.postgres.address import check_address
from eventstore.postgres.statements import Migration, migrations
from eventstore.postgres.translation import DRIVER_ERRORS, translate

__all__ = ["SCHEMA_VERSION", "MigrationReport", "migrate"]

SCHEMA_VERSION = migrations()[-1].version

# Any number that nobody else uses for an advisory lock in this database.
_LOCK = 4_715_018_260_310_001
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What a migration did, or would do.

    Attributes:
        before: The schema's version before; 0 for none.
        after: The version after.
        applied: The migrations in between.
        dry_run: Whether they were only listed.
    """

    before: int
    after: int
    applied: tuple[Migration, ...]
    dry_run: bool


async def migrate(admin_url: str, *, dry_run: bool = False, wait_seconds: float = 60.0) -> MigrationReport:
    """Bring a database's event store to this program's schema version. Running it again changes nothing.

    Creates the group role ``eventstore_runtime`` if it is missing; a worker's login role must be a member of it.

    Args:
        admin_url: The address of the primary, with a role that may create schemas and roles.
        dry_run: Only say what would be applied.
        wait_seconds: How long another migration may keep this one waiting.

    Returns:
        What was done. A database that is newer than this program is left as it is.

    Raises:
        StoreUnavailable: The server cannot be reached, or another migration held the lock all the time.
        StoreMisconfigured: The address, the credentials or the rights do not suffice.

    On cancellation, the migration under way is rolled back; those before it stay.
    """
    check_address(admin_url)
    try:
        connection = await asyncpg.connect(admin_url, timeout=10)
    except (*DRIVER_ERRORS, TimeoutError) as error:
        raise translate(error) from error
    try:
        await _lock(connection, wait_seconds)
        before = await _version(connection)
        pending = tuple(migration for migration in migrations() if migration.version > before)
        if not dry_run:
            for migration in pending:
                await _apply(connection, migration)
    except DRIVER_ERRORS as error:
        raise translate(error) from error
    finally:
        await connection.close()
    return MigrationReport(before=before, after=before + len(pending), applied=pending, dry_run=dry_run)


async def _lock(connection: "asyncpg.Connection[asyncpg.Record]", wait_seconds: float) -> None:
    # Polled: whoever waits inside the server holds a snapshot, which would block CREATE INDEX CONCURRENTLY for good.
    try:
        async with asyncio.timeout(wait_seconds):
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110  it waits for another process
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise StoreUnavailable("another migration is under way: wait for it, then try again") from None


async def _version(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    if await connection.fetchval("SELECT to_regclass('eventstore.store') IS NULL"):
        return 0
    return int(await connection.fetchval("SELECT schema_version FROM eventstore.store"))


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    if migration.version == 1:
        await _create_runtime_role(connection)
    async with connection.transaction():
        if migration.version == 1:
            await connection.execute("CREATE SCHEMA IF NOT EXISTS eventstore")
        await connection.execute(migration.sql)
        await connection.execute("UPDATE eventstore.store SET schema_version = $1", migration.version)


async def _create_runtime_role(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'eventstore_runtime')"):
        return
    try:
        await connection.execute("CREATE ROLE eventstore_runtime NOLOGIN")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        return  # roles belong to the whole server: a migration of another database was faster
