"""Lent reads: single reading statements on a pool or engine of the program."""

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
    """Borrows a connection for each statement and restores its settings afterwards. The pool is never closed.

    Args:
        pool_or_engine: The pool or engine, of a type that ``PostgresEventStore.over`` takes.
        purpose: The purpose of the connection while it is lent, shown in ``pg_stat_activity``.

    Raises:
        StoreMisconfigured: The argument is no pool or engine of a known type.
    """

    def __init__(self, pool_or_engine: object, *, purpose: str) -> None:
        # Positions are read by it, and nothing that other codecs would change.
        connections = LentConnections(
            handed_in(pool_or_engine), {**LENT_SETTINGS, "application_name": session_name(purpose)}, types=("int8",)
        )
        self._pool = Pool(connections, "the pool that was handed in", connections, lends=True)

    async def fetch(self, sql: str, *values: object) -> Sequence[Mapping[str, Any]]:
        """Run a reading statement with bound values, and return its rows.

        Raises:
            EventStoreError: The statement failed or no connection was available, as ``translate`` classifies it.
        """
        try:
            await self._pool.connections
        except (*DRIVER_ERRORS, ValueError) as error:
            raise translate(error) from error
        return [dict(row) for row in await self._pool.fetch(sql, values, seconds=_SECONDS)]

    async def close(self) -> None:
        """Do nothing: the pool belongs to the program that handed it in."""
