"""A subject's own PostgreSQL server, and the log in it."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias

import asyncpg

from deploy.local.stack import LocalStack
from tests.bench.subject import Address

__all__ = ["Connection", "Pool", "administration", "copy", "rebuilt_indexes", "serve"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
_LINES = 5_000


@contextmanager
def serve() -> Iterator[Address]:
    """Start a server without replicas, as for tests and the demo, with fsync and synchronous_commit on."""
    with LocalStack(replicas=0, broker=False) as stack:
        environment = stack.environment()
        yield Address(environment["DATABASE_URL"], environment["DATABASE_ADMIN_URL"])


@asynccontextmanager
async def administration(address: Address) -> AsyncIterator[Connection]:
    """Connect as the superuser."""
    connection = await asyncpg.connect(address.admin_url)
    try:
        await connection.execute("SET maintenance_work_mem = '512MB'")
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def rebuilt_indexes(connection: Connection, table: str) -> AsyncIterator[None]:
    """Drop a table's indexes while it is loaded, then rebuild them, analyse the table and write a checkpoint."""
    indexes = await connection.fetch(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition "
        "FROM pg_index WHERE indrelid = $1::text::regclass AND NOT indisprimary",
        table,
    )
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    yield
    for index in indexes:
        await connection.execute(index["definition"])
    await connection.execute(f"VACUUM ANALYZE {table}")
    await connection.execute("CHECKPOINT")


async def copy(connection: Connection, schema: str, table: str, columns: str, rows: Iterable[str]) -> None:
    """Copy rows into a table, each in COPY's text format, without the newline."""
    await connection.copy_to_table(
        table, schema_name=schema, columns=columns.split(), source=_lines(rows), format="text", timeout=600
    )


async def _lines(rows: Iterable[str]) -> AsyncIterator[bytes]:
    block: list[str] = []
    for row in rows:
        block.append(row)
        if len(block) == _LINES:
            yield ("\n".join(block) + "\n").encode()
            block.clear()
    if block:
        yield ("\n".join(block) + "\n").encode()
