"""Pruning: deletes old receipts, which no caller will ask for any more, in batches."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from eventstore.errors import InvalidRequest
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.statements import statement
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["LEAST_AGE", "Prunable", "count_prunable", "prune", "receipts_since"]

LEAST_AGE = timedelta(days=1)
"""The lowest age: a younger receipt may still keep a redelivered command from being decided twice."""

# Table pages in a batch, with some ten thousand receipts: each transaction is short, and together they are hardly
# slower than a single one.
_PAGES = 500
_PURPOSE = "worker db prune"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prunable:
    """What a pruning would delete.

    Attributes:
        before: Receipts that were recorded before this moment are old.
        receipts: The number of old receipts.
        total: The number of all receipts.
        pages: The size of their table in pages.
    """

    before: datetime
    receipts: int
    total: int
    pages: int


async def count_prunable(admin_url: str, older_than: timedelta, *, schema: str = DEFAULT_SCHEMA) -> Prunable:
    """Count the receipts that are older than an age, by the database's clock. Nothing is changed.

    Raises:
        InvalidRequest: The age is below ``LEAST_AGE``.
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address, credentials or privileges do not suffice, or there is no event store.
    """
    if older_than < LEAST_AGE:
        raise InvalidRequest(f"receipts are kept for {LEAST_AGE.days} day at least")
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        (row,) = await connection.fetch(statement("prunable"), older_than)
    return Prunable(before=row["moment"], receipts=row["old"], total=row["total"], pages=row["pages"])


async def prune(
    admin_url: str,
    found: Prunable,
    *,
    schema: str = DEFAULT_SCHEMA,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Delete the receipts that were found old. If their append is repeated afterwards, it is checked as a new one.

    Args:
        admin_url: The database URL of the primary, with the role that owns the schema.
        found: The result of ``count_prunable``.
        schema: The schema of the store.
        progress: Called after each batch with the number of receipts that it deleted.

    Returns:
        The number of receipts that were deleted.

    Raises:
        StoreUnavailable: The connection to the server was lost. Deleted receipts stay deleted; prune again.
        StoreMisconfigured: The role may not delete receipts.

    If the call is cancelled, the running batch is undone; those before it stay.
    """
    deleted = 0
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        # Recorded first, in a transaction of its own: if the process is killed below, some receipts are deleted.
        await connection.execute(statement("pruning"), found.before)
        for page in range(0, found.pages, _PAGES):
            batch = await connection.fetchval(
                statement("prune"), (page, 0), (min(page + _PAGES, found.pages), 0), found.before
            )
            deleted += batch
            progress(batch)
    return deleted


async def receipts_since(url: str, *, schema: str = DEFAULT_SCHEMA) -> datetime | None:
    """Return the moment since which every receipt is kept; None if none was ever deleted.

    A request that was first sent before it may have been answered although it has no receipt.

    Args:
        url: The database URL of the primary; if it has several hosts, the one that accepts writes is used.
        schema: The schema of the store.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address, credentials or privileges do not suffice, or there is no event store.
    """
    async with administrator(url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write) as connection:
        moment: datetime | None = await connection.fetchval(statement("receipts_since"))
    return moment
