"""Queries: one statement returns the events and the head, from one snapshot."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import asyncpg

from eventstore.errors import PositionNotReached, RetryableError, StoreMisconfigured
from eventstore.events import RecordedEvent
from eventstore.filter import Filter, FilterShape
from eventstore.jsontext import canonical, decode_object
from eventstore.position import Position
from eventstore.postgres.migrate import SCHEMA_VERSION
from eventstore.postgres.pools import Pool, Pools
from eventstore.postgres.statements import statement
from eventstore.postgres.translation import DRIVER_ERRORS, translate
from eventstore.predicate import Predicate
from eventstore.store import Consistency, EventStream

__all__ = ["Reader"]

_POLL_SECONDS = 0.01
_LAST_NUMBER = 2**63 - 1


class Reader:
    """Answers queries from the pool that the consistency asks for.

    Args:
        pools: The servers.
        reach_seconds: How long a query waits for the primary to reach its ``min_position``.
        read_seconds: How long one statement may take.
    """

    def __init__(self, pools: Pools, *, reach_seconds: float, read_seconds: float) -> None:
        self._pools = pools
        self._reach_seconds = reach_seconds
        self._read_seconds = read_seconds

    async def query(
        self,
        boundary: Filter,
        *,
        consistency: Consistency,
        min_position: Position | None = None,
        up_to: int | None = None,
    ) -> EventStream:
        """Answer ``EventStore.query``; ``up_to`` leaves out events with a higher number."""
        least = min_position.number if min_position is not None else 0
        if consistency is Consistency.EVENTUAL and self._pools.replicas:
            stream = await self._from_replica(boundary, up_to)
            if stream is not None and stream.position.number >= least:
                self._pools.counts.replica += 1
                return stream
            self._pools.counts.fallback += 1
        else:
            self._pools.counts.primary += 1
        return await self._from_primary(boundary, least, up_to)

    async def head(self, *, consistency: Consistency) -> Position:
        """Look up how far the log is: one row, on a replica if that is allowed and one is up."""
        pool = self._pools.replica() if consistency is Consistency.EVENTUAL else None
        if pool is not None:
            try:
                return await self._head(pool)
            except RetryableError:
                pool.failed()
        return await self._head(self._pools.primary)

    async def check_schema(self) -> None:
        """Make sure that this program and the database fit together.

        Raises:
            StoreMisconfigured: The database has no event store, or one that is older than this program.
        """
        rows = await self._fetch(self._pools.primary, statement("head"), ())
        if rows[0]["schema_version"] < SCHEMA_VERSION:
            raise StoreMisconfigured(
                f"the database's event store has schema version {rows[0]['schema_version']}, this program needs "
                f"{SCHEMA_VERSION}: run `worker db migrate`"
            )

    async def _from_replica(self, boundary: Filter, up_to: int | None) -> EventStream | None:
        pool = self._pools.replica()
        if pool is None:
            return None
        try:
            stream = await self._read(pool, boundary, up_to, replica=True)
        except (RetryableError, StoreMisconfigured):
            # Misconfigured, too: a replica that has not replayed the migration yet has no store. The primary tells.
            pool.failed()
            return None
        pool.succeeded()
        return stream

    async def _from_primary(self, boundary: Filter, least: int, up_to: int | None) -> EventStream:
        # Even the primary can be behind: a synchronous standby shows a commit before the primary does.
        deadline = monotonic() + self._reach_seconds
        while True:
            stream = await self._read(self._pools.primary, boundary, up_to, replica=False)
            if stream.position.number >= least:
                return stream
            if monotonic() >= deadline:
                raise PositionNotReached(
                    f"the primary's log ends at {stream.position.number}, before {least}, "
                    f"after {self._reach_seconds} s of waiting"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self, pool: Pool, boundary: Filter, up_to: int | None, *, replica: bool) -> EventStream:
        rows = await self._fetch(pool, *_question(boundary, up_to))
        position = Position(number=rows[0]["head"], token=rows[0]["head_token"])
        events = tuple(map(_event, rows)) if rows[0]["sequence_number"] is not None else ()
        return EventStream(events=events, position=position, replica=replica)

    async def _head(self, pool: Pool) -> Position:
        rows = await self._fetch(pool, statement("head"), ())
        return Position(number=rows[0]["head"], token=rows[0]["token"])

    async def _fetch(self, pool: Pool, sql: str, arguments: Sequence[object]) -> "list[asyncpg.Record]":
        try:
            rows = await pool.connections.fetch(sql, *arguments, timeout=self._read_seconds)
        except DRIVER_ERRORS as error:
            raise translate(error) from error
        if not rows:
            raise StoreMisconfigured("the event store has lost its head row: restore the database from a backup")
        return rows


def _question(boundary: Filter, up_to: int | None) -> tuple[str, tuple[object, ...]]:
    """Choose the statement for a filter, with its arguments.

    A whole history is looked up in the indexes; a range of the log, or all of it, is walked.
    """
    branches = [
        (canonical(item.event_types).decode() if item.event_types else None, contained)
        for item in boundary.items
        for contained in _contained(item.predicates, together=item.all_predicates)
    ]
    types = [types for types, _ in branches]
    objects = [contained for _, contained in branches]
    times = (boundary.since, boundary.until)
    if up_to is not None or boundary.shape is FilterShape.ANY:
        return statement("query_range"), (types, objects, boundary.above, up_to or _LAST_NUMBER, *times)
    distinct = sorted({contained for contained in objects if contained is not None})
    by_type = sorted({name for item in boundary.items if not item.predicates for name in item.event_types})
    return statement("query"), (types, objects, distinct, by_type, boundary.above, *times)


def _contained(predicates: tuple[Predicate, ...], *, together: bool) -> list[str | None]:
    """Say what the payload must contain: one object for all predicates together, or one for each."""
    if not predicates:
        return [None]
    fragments = [predicate.fragment for predicate in predicates]
    if not together:
        return list(fragments)
    if len({predicate.key for predicate in predicates}) < len(predicates):
        return []  # one field cannot have two values: nothing can match
    return ["{" + ",".join(fragment[1:-1] for fragment in fragments) + "}"]


def _event(row: asyncpg.Record) -> RecordedEvent:
    return RecordedEvent(
        sequence_number=row["sequence_number"],
        token=row["token"],
        type=row["event_type"],
        payload=decode_object(row["payload"]),
        metadata=decode_object(row["metadata"]),
        occurred_at=row["occurred_at"],
    )
