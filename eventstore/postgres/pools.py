"""Connections: one pool to the primary, one to each replica, and which of them answers a read."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from eventstore.errors import StoreUnavailable
from eventstore.postgres.address import check_address
from eventstore.postgres.translation import DRIVER_ERRORS, translate

__all__ = ["Pool", "Pools", "ReadCounts"]

_CONNECT_SECONDS = 5.0
# How long a failed replica is left alone before one read tries it again, at first and at most.
_FIRST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 30.0


@dataclass(slots=True)
class ReadCounts:
    """Where reads were answered, since the store was opened.

    Attributes:
        replica: Reads that a replica answered.
        primary: Reads that asked for the primary, or found no replica configured.
        fallback: Reads that a replica could have answered, but that the primary had to.
    """

    replica: int = 0
    primary: int = 0
    fallback: int = 0


@dataclass(slots=True, eq=False)
class Pool:
    """The connections to one server.

    A replica rests after a failure: reads pass it over, until its rest is over and one read tries it again.
    """

    connections: "asyncpg.Pool[asyncpg.Record]"
    _resting_until: float = field(default=0.0, init=False)
    _rest_seconds: float = field(default=_FIRST_REST_SECONDS, init=False)

    @property
    def resting(self) -> bool:
        """Whether the server failed a moment ago."""
        return monotonic() < self._resting_until

    async def fetch(self, sql: str, parameters: Sequence[object] = (), *, seconds: float) -> "list[asyncpg.Record]":
        """Run one reading statement.

        Args:
            sql: The statement.
            parameters: Its parameters.
            seconds: How long it may take.

        Raises:
            EventStoreError: As ``translate`` says.
        """
        try:
            return await self.connections.fetch(sql, *parameters, timeout=seconds)
        except DRIVER_ERRORS as error:
            raise translate(error) from error

    def failed(self) -> None:
        """Let the server rest, longer each time in a row."""
        self._resting_until = monotonic() + self._rest_seconds
        self._rest_seconds = min(2 * self._rest_seconds, _LONGEST_REST_SECONDS)

    def succeeded(self) -> None:
        """Forget earlier failures."""
        self._rest_seconds = _FIRST_REST_SECONDS


@dataclass(slots=True, kw_only=True)
class Pools:
    """The servers of one store.

    Attributes:
        primary: Appends and strong reads.
        replicas: Eventual reads, in turn.
        counts: Where reads were answered.
    """

    primary: Pool
    replicas: tuple[Pool, ...]
    counts: ReadCounts = field(default_factory=ReadCounts)
    _turn: int = field(default=0, init=False)

    @classmethod
    async def open(
        cls, primary_url: str, replica_urls: Sequence[str], *, pool_size: int, application_name: str
    ) -> "Pools":
        """Make the pools. The primary must answer; a replica that does not is passed over until it does.

        Args:
            primary_url: May name several hosts; the one that accepts writes is used.
            replica_urls: One address a replica.
            pool_size: The most connections to each server.
            application_name: How the connections appear in ``pg_stat_activity``.

        Raises:
            StoreUnavailable: The primary cannot be reached.
            StoreMisconfigured: It refuses the address or credentials, or an address is malformed.
        """

        def make(url: str, session: SessionAttribute, *, first: int) -> "asyncpg.Pool[asyncpg.Record]":
            return asyncpg.create_pool(
                url,
                min_size=first,
                max_size=pool_size,
                timeout=_CONNECT_SECONDS,
                reset=_keep_session,
                target_session_attrs=session,
                server_settings={
                    "application_name": application_name,
                    # Every statement is written so that one plan fits all values: planning anew would cost several
                    # times what running does, and a plan that is chosen by values turns bad at the sixth call.
                    "plan_cache_mode": "force_generic_plan",
                    # A plan made while the tables were small must not scan them when they are large.
                    "enable_seqscan": "off",
                    # A statement names first what it has least of: the planner cannot know, and would guess.
                    "join_collapse_limit": "1",
                    "from_collapse_limit": "1",
                    "jit": "off",
                    "default_transaction_isolation": "read committed",
                    "synchronous_commit": "on",
                    # An append whose wait is cut short by a timeout may have happened; nothing here may cut it short.
                    "statement_timeout": "0",
                    "lock_timeout": "0",
                },
            )

        for url in (primary_url, *replica_urls):
            check_address(url)
        try:
            primary = make(primary_url, SessionAttribute.read_write, first=1)
            replicas = [make(url, SessionAttribute.any, first=0) for url in replica_urls]
            await primary
            for replica in replicas:
                await replica
        except (*DRIVER_ERRORS, ValueError) as error:
            raise translate(error) from error
        return cls(primary=Pool(primary), replicas=tuple(Pool(replica) for replica in replicas))

    def replica(self) -> Pool | None:
        """Choose the replica for the next eventual read, in turn; None when none is up."""
        for _ in self.replicas:
            self._turn = (self._turn + 1) % len(self.replicas)
            candidate = self.replicas[self._turn]
            if not candidate.resting:
                return candidate
        return None

    async def forget_primary(self) -> None:
        """Leave a primary that has become read-only: the next connections look for the one that accepts writes."""
        await self.primary.connections.expire_connections()

    def cut(self) -> None:
        """Break every connection. Nothing is cancelled: what a server was told to do, it may still do."""
        for pool in (self.primary, *self.replicas):
            pool.connections.terminate()

    async def close(self, seconds: float = 5.0) -> None:
        """Close every connection; those still busy after ``seconds`` are cut."""
        for pool in (self.primary, *self.replicas):
            try:
                async with asyncio.timeout(seconds):
                    await pool.connections.close()
            except (*DRIVER_ERRORS, StoreUnavailable):
                pool.connections.terminate()


async def _keep_session(_connection: object) -> None:
    # The default reset costs a round trip at every release. No statement here leaves anything in the session.
    return
