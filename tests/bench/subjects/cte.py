"""A baseline: the well-known conditional insert in one statement. It looks correct; the races show that it is not.

The statement's snapshot is taken before it waits for a lock, so that concurrent racers do not see each other.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import asyncpg

from eventstore.jsontext import decode_object
from tests.bench.library import LENT, TYPES, loans
from tests.bench.subject import Address, Conflict, Contender, InLoop, Loan
from tests.bench.subjects.ours import event_of
from tests.bench.subjects.postgres import Pool, administration, copy, rebuilt_indexes, serve

__all__ = ["Cte", "contender"]

_CONNECTIONS = 16
_SCHEMA = """
CREATE TABLE public.events (
    sequence_number bigserial PRIMARY KEY,
    event_type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    payload jsonb NOT NULL,
    metadata jsonb NOT NULL
);
CREATE INDEX events_payload ON public.events USING gin (payload jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX events_type ON public.events (event_type, sequence_number);
GRANT SELECT, INSERT ON public.events TO eventstore_runtime;
GRANT USAGE ON SEQUENCE public.events_sequence_number_seq TO eventstore_runtime;
"""
_QUERY = """
SELECT sequence_number, event_type, occurred_at, payload, metadata
FROM public.events
WHERE event_type = ANY ($1::text[]) AND (payload @> $2::jsonb OR payload @> $3::jsonb)
ORDER BY sequence_number
"""
_APPEND = """
WITH context AS (
    SELECT max(sequence_number) AS last
    FROM public.events
    WHERE event_type = ANY ($1::text[]) AND (payload @> $2::jsonb OR payload @> $3::jsonb)
)
INSERT INTO public.events (event_type, occurred_at, payload, metadata)
SELECT e.event_type, e.occurred_at, e.payload, e.metadata
FROM context, unnest($5::text[], $6::timestamptz[], $7::jsonb[], $8::jsonb[])
    AS e (event_type, occurred_at, payload, metadata)
WHERE coalesce(context.last, 0) = $4::bigint
RETURNING sequence_number
"""


class Cte(InLoop):
    """One statement per query, one statement per append, on a pool of connections."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, address: Address) -> "Cte":
        """Open the connections, with the server's default settings."""
        return cls(await asyncpg.create_pool(address.url, min_size=_CONNECTIONS, max_size=_CONNECTIONS))

    async def ping(self) -> None:
        """See ``Subject.ping``."""
        await self._pool.fetchval("SELECT 1")

    async def query(self, boundary: Loan) -> int:
        """See ``Subject.query``. The position is the boundary's last event, not the log's."""
        rows = await self._pool.fetch(_QUERY, TYPES, *_contained(boundary))
        for row in rows:
            decode_object(row["payload"])
            decode_object(row["metadata"])
        return int(rows[-1]["sequence_number"]) if rows else 0

    async def append(self, loans: Sequence[Loan], boundary: Loan, after: int) -> int:
        """See ``Subject.append``."""
        events = [event_of(loan) for loan in loans]
        rows = await self._pool.fetch(
            _APPEND,
            TYPES,
            *_contained(boundary),
            after,
            [event.type for event in events],
            [event.occurred_at for event in events],
            [event.payload_text for event in events],
            [event.metadata_text for event in events],
        )
        if not rows:
            raise Conflict
        return int(rows[-1]["sequence_number"])

    async def scan(self) -> int:
        """Not measured: this baseline is about appends."""
        raise NotImplementedError

    async def close(self) -> None:
        """See ``Subject.close``."""
        await self._pool.close()


async def _load(address: Address, size: int) -> None:
    async with administration(address) as connection:
        await connection.execute(_SCHEMA)
        async with rebuilt_indexes(connection, "public.events"):
            await copy(connection, "public", "events", "event_type occurred_at payload metadata", _rows(size))


def _rows(size: int) -> Iterator[str]:
    moment = datetime.now(UTC).isoformat()
    for event_type, loan in loans(size):
        event = f'{{"BookID":"{loan.book}","ReaderID":"{loan.reader}"}}'
        yield f'{event_type}\t{moment}\t{event}\t{{"command_type":"{LENT}"}}'


def _contained(boundary: Loan) -> tuple[str, str]:
    return f'{{"BookID":"{boundary.book}"}}', f'{{"ReaderID":"{boundary.reader}"}}'


contender = Contender(
    serve=serve,
    load=_load,
    open=Cte.open,
    figures=frozenset({"query_1", "append_1", "append_5", "typical_1", "typical_128", "violations_16", "memory_128"}),
)
