"""Pruning: receipts that nobody will ask for any more are deleted, in batches."""

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
"""A younger receipt may still be what keeps a redelivered command from being decided twice."""

# Some ten thousand receipts a transaction: each is short, and together they are not much slower than one.
_PAGES = 500
_PURPOSE = "worker db prune"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prunable:
    """What a pruning would delete.

    Attributes:
        before: The moment; receipts that were recorded before it are old.
        receipts: How many are old.
        total: How many there are.
        pages: How large their table is.
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
        StoreMisconfigured: The address, the credentials or the rights do not suffice, or there is no event store.
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
    """Delete the receipts that were found old. An append that is repeated after that is judged anew.

    Args:
        admin_url: The address of the primary, with the role that owns the schema.
        found: What ``count_prunable`` returned.
        schema: The store's.
        progress: Is told after each batch how many receipts it deleted.

    Returns:
        How many receipts were deleted.

    Raises:
        StoreUnavailable: The server cannot be reached any more. What was deleted stays deleted; prune again.
        StoreMisconfigured: The role may not delete receipts.

    On cancellation the batch under way is undone; those before it stay.
    """
    deleted = 0
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        # First, and in a transaction of its own: whoever is killed below has deleted some.
        await connection.execute(statement("pruning"), found.before)
        for page in range(0, found.pages, _PAGES):
            batch = await connection.fetchval(
                statement("prune"), (page, 0), (min(page + _PAGES, found.pages), 0), found.before
            )
            deleted += batch
            progress(batch)
    return deleted


async def receipts_since(url: str, *, schema: str = DEFAULT_SCHEMA) -> datetime | None:
    """Return the moment from which on every receipt is still there; None if none was ever deleted.

    Whatever was first sent before it may have been answered, although there is no receipt of it.

    Args:
        url: The address of the primary; of several hosts in it, the one that accepts writes.
        schema: The store's.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address, the credentials or the rights do not suffice, or there is no event store.
    """
    async with administrator(url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write) as connection:
        moment: datetime | None = await connection.fetchval(statement("receipts_since"))
    return moment
