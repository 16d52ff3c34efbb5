"""Lent reads: single reading statements over a pool or engine that a program has."""

from collections.abc import Mapping, Sequence
from typing import Any

from eventstore.postgres.connections.lending import LentConnections
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.session_name import session_name
from eventstore.postgres.connections.session_settings import LENT_SETTINGS
from eventstore.postgres.connections.translation import DRIVER_ERRORS, translate
from eventstore.postgres.drivers.choice import handed_in

__all__ = ["LentReads"]

_SECONDS = 30.0


class LentReads:
    """Takes a connection for each statement, and gives it back as it was. The pool is never closed.

    Args:
        pool_or_engine: What ``PostgresEventStore.over`` takes.
        purpose: How a connection appears in ``pg_stat_activity`` while it is lent.

    Raises:
        StoreMisconfigured: Something else was handed in.
    """

    def __init__(self, pool_or_engine: object, *, purpose: str) -> None:
        connections = LentConnections(
            handed_in(pool_or_engine), {**LENT_SETTINGS, "application_name": session_name(purpose)}
        )
        self._pool = Pool(connections, "the pool that was handed in", connections, lends=True)

    async def fetch(self, sql: str, *values: object) -> Sequence[Mapping[str, Any]]:
        """Run a statement that changes nothing, with bound values, and return its rows.

        Raises:
            EventStoreError: As ``translate`` says.
        """
        try:
            await self._pool.connections
        except (*DRIVER_ERRORS, ValueError) as error:
            raise translate(error) from error
        return [dict(row) for row in await self._pool.fetch(sql, values, seconds=_SECONDS)]

    async def close(self) -> None:
        """Leave the pool as it is: it is its program's."""
