"""Coalesced reads: queries that wait while one statement is in flight share the next."""

from collections.abc import Callable, Sequence

from eventstore.postgres.batcher import Batcher, Waiting
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.drivers.protocol import Row
from eventstore.postgres.reads.lookup import Answer, Lookup, Shared

__all__ = ["Coalescer", "Statement"]

Statement = Callable[[Shared], tuple[str, tuple[object, ...]]]
"""Returns the text and parameters of a statement for shared lookups; its rows are like those of ``query.sql``."""

Learn = Callable[[Sequence[Row]], None]

# The least and the most queries in a statement, if as many wait: fewer would cost the server hardly less.
_FEW, _MANY = 16, 32


class Coalescer(Batcher[Lookup, Answer]):
    """Collects queries of one kind to one server, and sends them in shared statements.

    Args:
        pool: The connection pool of the server.
        kind: The metric label ``operation`` of the queries.
        statement: Builds the statement for the branches of several queries.
        seconds: The timeout in seconds of one statement.
        learn: Called with the rows of each statement; by default None.
    """

    def __init__(
        self, pool: Pool, kind: str, statement: Statement, *, seconds: float, learn: Learn | None = None
    ) -> None:
        super().__init__(pool, kind)
        self._statement = statement
        self._seconds = seconds
        self._learn = learn

    def _most(self) -> int:
        # Half of them: while some callers process their answers, the server works for the others. If all shared one
        # statement, all would wait for it, and then run while the server is idle.
        return max(_FEW, min(len(self._queue) // 2, _MANY))

    def _weigh(self, lookup: Lookup) -> tuple[int, int]:
        return len(lookup.filters), 0

    async def _answer(self, batch: Sequence[Waiting[Lookup, Answer]]) -> Sequence[Answer]:
        self._note_sending(len(batch), batch[0].since)
        shared = Shared([waiting.question for waiting in batch])
        text, parameters = self._statement(shared)
        rows = await self._sticky.fetch(text, parameters, seconds=self._seconds)
        shared.learn(rows)
        if self._learn is not None:
            self._learn(rows)
        if shared.is_long:
            await shared.read_ahead()
        return [shared.answer(waiting.question) for waiting in batch]
