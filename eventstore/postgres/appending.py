"""Appends: sent as batches, answered as verdicts, and sent again where that is the only way to know."""

import asyncio
from collections.abc import Sequence

from eventstore.errors import (
    ConcurrencyConflict,
    EventStoreError,
    HistoryDiverged,
    OutcomeUnknown,
    StoreUnavailable,
)
from eventstore.filter import Filter
from eventstore.position import Position
from eventstore.postgres.batch import Behind, Resend, Verdict, columns, verdict_of
from eventstore.postgres.pools import Pools
from eventstore.postgres.reading import Reader
from eventstore.postgres.statements import statement
from eventstore.postgres.translation import DRIVER_ERRORS, READ_ONLY, is_connection_loss, translate
from eventstore.request import AppendRequest
from eventstore.store import Consistency, Receipt

__all__ = ["Appender"]

# How often an append is sent again after its connection broke, when its key makes that safe.
_RESENDS = 3


class Appender:
    """Sends appends to the primary.

    Args:
        pools: The servers.
        reader: Where an append that is too far behind looks first.
    """

    def __init__(self, pools: Pools, reader: Reader) -> None:
        self._pools = pools
        self._reader = reader
        self._under_way: set[asyncio.Task[list[Verdict]]] = set()

    async def append(self, request: AppendRequest) -> Receipt:
        """Answer ``EventStore.append``."""
        while True:
            match await self._settle(request):
                case Receipt() as receipt:
                    return receipt
                case EventStoreError() as error:
                    raise error
                case Behind():
                    request = await self._catch_up(request)
                case Resend():
                    continue

    async def send(self, requests: Sequence[AppendRequest]) -> list[Verdict]:
        """Send one batch, in one transaction, and read its verdicts, one a request, in order.

        Raises:
            OutcomeUnknown: The connection broke before the answer.
            EventStoreError: Any other failure of the statement as a whole; nothing is recorded then.

        On cancellation the batch goes on by itself: cutting its statement short would leave open what happened.
        """
        task = asyncio.create_task(self._send(requests))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for the batches that outlived their callers."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _settle(self, request: AppendRequest) -> Verdict:
        """Send one request, again after a broken connection if its key allows."""
        resends = 0
        while True:
            try:
                verdicts = await self.send([request])
            except OutcomeUnknown:
                resends += 1
                if request.key is None or resends > _RESENDS:
                    raise
            except StoreUnavailable as error:
                if resends == 0:
                    raise  # nothing was ever sent
                raise OutcomeUnknown(f"an append broke off, and could not be sent again: {error}") from error
            else:
                return verdicts[0]

    async def _send(self, requests: Sequence[AppendRequest]) -> list[Verdict]:
        arguments = columns(requests)
        try:
            connection = await self._pools.primary.connections.acquire()
        except DRIVER_ERRORS as error:
            raise translate(error) from error
        try:
            rows = await connection.fetch(statement("append"), *arguments)
        except DRIVER_ERRORS as error:
            if is_connection_loss(error):
                raise OutcomeUnknown("the connection broke while an append was under way") from error
            if getattr(error, "sqlstate", None) == READ_ONLY:
                await self._pools.forget_primary()
            raise translate(error) from error
        finally:
            await self._pools.primary.connections.release(connection)
        return [verdict_of(request, row) for request, row in zip(requests, rows, strict=True)]

    async def _catch_up(self, request: AppendRequest) -> AppendRequest:
        """Search above the position outside the lock; return the request with a position nearer to the head."""
        boundary = request.boundary
        if boundary is None:
            raise EventStoreError("an unconditional append cannot be behind")
        above = Filter(
            boundary.items,
            since=boundary.since,
            until=boundary.until,
            above=max(boundary.above, request.after.number),
        )
        history = await self._reader.query(above, consistency=Consistency.STRONG)
        await self._check_history(request.after)
        for event in history.events:
            raise ConcurrencyConflict(
                sequence_number=event.sequence_number, event_type=event.type, metadata=event.metadata
            )
        return request.moved_to(history.position)

    async def _check_history(self, position: Position) -> None:
        # The newer position would be accepted by its own token; the older one must lie in the same history.
        if position.number == 0:
            return
        at = await self._reader.query(
            Filter.matching_any_event().sequence_number_higher_than(position.number - 1),
            consistency=Consistency.STRONG,
            up_to=position.number,
        )
        if [event.position for event in at.events] != [position]:
            raise HistoryDiverged(f"position {position} is not in this store's history")
