"""A baseline: the same store without batching. Each query is a statement, each append a function call and a commit."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import asyncpg

from eventstore import Append, ConcurrencyConflict, EventStoreError, Position, Receipt
from eventstore.postgres.appends.batch import Behind, columns, verdict_of
from eventstore.postgres.reads.branches import branches_of
from eventstore.postgres.reads.branches import columns as branch_columns
from eventstore.postgres.reads.rows import event_of as recorded
from eventstore.postgres.reads.rows import head_of
from eventstore.postgres.statements import statement
from tests.bench.subject import COMPARED, Address, Conflict, Contender, InLoop, Loan
from tests.bench.subjects.ours import boundary_of, event_of, load
from tests.bench.subjects.postgres import Pool, serve

__all__ = ["SETTINGS", "Single", "contender", "keep_session"]

_CONNECTIONS = 16
SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "join_collapse_limit": "1",
    "from_collapse_limit": "1",
    "jit": "off",
}
"""As the store sets them, for the statements are the store's."""


class Single(InLoop):
    """One statement per query, one transaction per append, on a pool of connections."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, address: Address) -> "Single":
        """Open the connections."""
        pool = await asyncpg.create_pool(
            address.url, min_size=_CONNECTIONS, max_size=_CONNECTIONS, server_settings=SETTINGS, reset=keep_session
        )
        return cls(pool)

    async def ping(self) -> None:
        """See ``Subject.ping``."""
        await self._pool.fetchval("SELECT 1")

    async def query(self, boundary: Loan) -> Position:
        """See ``Subject.query``."""
        branches = branch_columns(branches_of(boundary_of(boundary)))
        rows = await self._pool.fetch(statement("query"), *branches, None, [])
        events = {row[1]: recorded(row) for row in rows if row[0] > 0}
        for number in sorted(events):
            _ = events[number].payload
        return head_of(rows)

    async def append(self, loans: Sequence[Loan], boundary: Loan, after: Position) -> Position:
        """See ``Subject.append``."""
        append = Append(events=[event_of(loan) for loan in loans], boundary=boundary_of(boundary), after=after)
        (row,) = await self._pool.fetch(statement("append"), *columns([append]))
        match verdict_of(append, row):
            case Receipt(position=position):
                return position
            case ConcurrencyConflict() | Behind():
                raise Conflict
            case other:
                raise EventStoreError(f"the append was answered by {other!r}")

    async def scan(self) -> int:
        """Not measured: it would be the store's own scan."""
        raise NotImplementedError

    async def close(self) -> None:
        """See ``Subject.close``."""
        await self._pool.close()


async def keep_session(_connection: Any) -> None:
    return


contender = Contender(
    serve=serve,
    load=partial(load, histories=False),
    open=Single.open,
    figures=COMPARED,
)
