"""Replicas: chooses the one for each eventual read. Background watches measure how far each has come."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Self

from eventstore.backoff import Backoff
from eventstore.counted import counted
from eventstore.errors import EventStoreError
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.reads.rows import head_of
from eventstore.postgres.statements import statement

__all__ = ["MOST_LAG", "Fallback", "ReadCounts", "Replicas"]

MOST_LAG = 10_000
"""The default for the largest number of events that a replica may lag."""

_log = logging.getLogger(__name__)

_WATCH_SECONDS = 0.25
_LOOK_SECONDS = 2.0
# Replicas within this many events of each other count as equally far: they take turns.
_NEAR = 100
# Seconds that a replica stays out after a failed read even if it answers the watch, at first and at most.
_FIRST_REST_SECONDS = 0.25
_LONGEST_REST_SECONDS = 30.0


class Fallback(StrEnum):
    """The reason why the primary answered a read that a replica could have answered."""

    NONE_UP = "none_up"
    BEHIND = "behind"
    FAILED = "failed"


@dataclass(slots=True)
class ReadCounts:
    """How many queries each server has answered since the store was opened.

    Attributes:
        primary: The number of queries that asked for the primary, or for which no replica is configured.
        replicas: The number of queries that each replica answered, by its host and port.
        fallbacks: The number of queries that the primary answered in place of a replica, by reason: no replica was up,
            none that was up had reached ``min_position`` in the same history, or the replica failed.
    """

    primary: int = 0
    replicas: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[Fallback] = field(default_factory=Counter)


@dataclass(slots=True, eq=False)
class _Replica:
    """The known state of one replica.

    Attributes:
        pool: Its connection pool, with the head that it last reported.
        up: Whether it may answer reads; None before the first check.
        rests_until: The earliest time, by ``monotonic``, at which a successful check puts it back.
        rests: The waits after failed reads; longer for each failure in a row.
    """

    pool: Pool
    up: bool | None = None
    rests_until: float = 0.0
    rests: Backoff = field(
        default_factory=lambda: Backoff(first=_FIRST_REST_SECONDS, longest=_LONGEST_REST_SECONDS, jitter=0.0)
    )


class Replicas:
    """Chooses the replica for each eventual read, and watches how far each has come.

    Args:
        primary: The pool of the primary, whose head the replicas are compared with.
        replicas: The pools of the replicas.
        most_lag: The largest number of events that a replica may lag before it is taken out.
    """

    def __init__(self, primary: Pool, replicas: Sequence[Pool], *, most_lag: int) -> None:
        self._primary = primary
        self._replicas = {pool: _Replica(pool) for pool in replicas}
        self._most_lag = most_lag
        self._turn = 0

    def __bool__(self) -> bool:
        """Whether there are replicas, up or not."""
        return bool(self._replicas)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Self]:
        """Check every server once, and then periodically until the context is left."""
        servers = (self._primary, *self._replicas) if self._replicas else ()
        await asyncio.gather(*map(self._look, servers))
        watches = [asyncio.create_task(self._watch(server, _WATCH_SECONDS)) for server in servers]
        try:
            yield self
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    def choose(self, least: int) -> Pool | Fallback:
        """Return one of the least lagging replicas that have reached ``least``, or the reason why there is none."""
        up = [pool for pool, replica in self._replicas.items() if replica.up]
        reached = [pool for pool in up if pool.head.number >= least]
        if not reached:
            return Fallback.BEHIND if up else Fallback.NONE_UP
        furthest = max(pool.head.number for pool in reached)
        near = [pool for pool in reached if furthest - pool.head.number <= _NEAR]
        self._turn += 1
        return near[self._turn % len(near)]

    def is_up(self, pool: Pool) -> bool:
        """Whether a replica may answer reads."""
        return self._replicas[pool].up is True

    def failed(self, pool: Pool) -> None:
        """Take a replica out that failed a read. It stays out longer for each failure in a row."""
        replica = self._replicas[pool]
        if not replica.up:
            return  # reads that share a round trip fail together, which counts once
        replica.rests_until = monotonic() + replica.rests.next_wait()
        self._take_out(replica, "it failed a read")

    def succeeded(self, pool: Pool) -> None:
        """Forget a replica's earlier failures."""
        self._replicas[pool].rests.reset()

    async def _watch(self, server: Pool, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._look(server)

    async def _look(self, server: Pool) -> None:
        replica = self._replicas.get(server)
        try:
            (row,) = rows = await server.fetch(statement("head"), seconds=_LOOK_SECONDS)
            server.head = head_of(rows)
            wrong = None
            if replica is not None:
                wrong = self._stranger(server, in_recovery=row["in_recovery"])
                if wrong is not None:
                    # If several replicas share an address, this one may have been promoted, or follow another primary.
                    # Connections outlive that, so the watch would keep to the wrong server for hours.
                    await server.renew()
                else:
                    wrong = self._lag(server)
        except EventStoreError as error:
            wrong = str(error)
        except Exception as error:  # noqa: BLE001  if the watch ended, the replica would stay out, or in, for good
            _log.exception("the check of the replicas failed with an unexpected error")
            wrong = repr(error)
        if replica is None:
            return
        if wrong is not None:
            self._take_out(replica, wrong)
        elif not replica.up and monotonic() >= replica.rests_until:
            if replica.up is False:
                _log.warning("replica %s answers reads again", server.address)
            replica.up = True

    def _stranger(self, server: Pool, *, in_recovery: bool) -> str | None:
        """Return the reason why a server is no replica of this primary, or None."""
        primary = self._primary.head
        if not in_recovery:
            # Promoted by mistake, or by a failover that the primary's address does not reflect yet. Its history may
            # have diverged.
            return "it accepts writes, so it is not a replica"
        if server.head.number == primary.number and server.head.token != primary.token:
            return "its history is not the primary's"
        return None

    def _lag(self, server: Pool) -> str | None:
        """Return the reason if a replica lags too far behind, or None."""
        lag = self._primary.head.number - server.head.number
        return f"it lags by {counted(lag, 'event')}" if lag > self._most_lag else None

    def _take_out(self, replica: _Replica, reason: str) -> None:
        if replica.up is not False:
            replica.up = False
            _log.warning("replica %s answers no reads, the primary does: %s", replica.pool.address, reason)
