"""Lag: the time from an event's visibility on the primary to its row's visibility in the projection."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

__all__ = ["Lag"]

_POLL_SECONDS = 0.005
_BOTH = """
SELECT (SELECT max(sequence_number) FROM eventstore.events) AS recorded,
    (SELECT max(number) FROM read_followed.recorded) AS projected
"""


class Lag:
    """Samples both every 5 ms, in one snapshot. Create it with ``sampled``.

    Attributes:
        milliseconds: The lag of each event that was recorded and projected meanwhile.
    """

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.milliseconds: list[float] = []
        self._connection = connection
        self._recorded_at: dict[int, float] = {}

    @classmethod
    @asynccontextmanager
    async def sampled(cls, url: str) -> AsyncIterator["Lag"]:
        """Sample for the ``async with``, on a separate connection."""
        connection = await asyncpg.connect(url)
        lag = cls(connection)
        looking = asyncio.create_task(lag._look())
        try:
            yield lag
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            await connection.close()

    async def _look(self) -> None:
        statement = await self._connection.prepare(_BOTH)
        before: tuple[int, int] | None = None
        while True:
            ((recorded, projected),) = await statement.fetch()
            now = time.perf_counter()
            if before is not None:
                self._note(range(before[0] + 1, recorded + 1), range(before[1] + 1, projected + 1), now)
            before = recorded, projected
            await asyncio.sleep(_POLL_SECONDS)

    def _note(self, recorded: range, projected: range, now: float) -> None:
        self._recorded_at.update(dict.fromkeys(recorded, now))
        for number in projected:
            if (at := self._recorded_at.pop(number, None)) is not None:
                self.milliseconds.append((now - at) * 1000)
