"""Appends: judged in batches, and helped to catch up when they are too far behind to be judged."""

from collections.abc import Sequence

from opentelemetry.trace import Span

from eventstore.errors import ConcurrencyConflict, EventStoreError
from eventstore.postgres.batch import Behind, Resend
from eventstore.postgres.group_commit import GroupCommit
from eventstore.postgres.reading import Reader
from eventstore.postgres.statements import statement
from eventstore.receipt import Receipt
from eventstore.request import AppendRequest
from eventstore.store import Consistency

__all__ = ["Appender"]


class Appender:
    """Answers appends.

    Args:
        batches: Who has them judged.
        reader: Where an append that is too far behind looks first.
    """

    def __init__(self, batches: GroupCommit, reader: Reader) -> None:
        self._batches = batches
        self._reader = reader

    async def append(self, request: AppendRequest, span: Span) -> Receipt:
        """Answer ``EventStore.append``; ``span`` links to each batch that carries it."""
        while True:
            match await self._batches.settle(request, span):
                case Receipt() as receipt:
                    return receipt
                case EventStoreError() as error:
                    raise error
                case Behind():
                    request = await self._catch_up(request)
                case Resend():
                    continue

    async def append_chain(
        self, requests: Sequence[AppendRequest], spans: Sequence[Span]
    ) -> list[Receipt | EventStoreError]:
        """Answer ``EventStore.append_chain``; each span links to each batch that carries its request."""
        found: list[Receipt | EventStoreError] = []
        for verdict in await self._batches.settle_chain(requests, spans):
            if not isinstance(verdict, Receipt | EventStoreError):
                raise EventStoreError(f"the store answered a chain with {verdict!r}")
            found.append(verdict)
        return found

    async def _catch_up(self, request: AppendRequest) -> AppendRequest:
        """Search above the position outside the lock; return the request with a position nearer to the head."""
        boundary = request.boundary
        if boundary is None:
            raise EventStoreError("the store called an unconditional append behind; it judges a position it has not")
        # The newer position will be judged by its own token; that the older one lies in the same history is seen here.
        history = await self._reader.query(
            boundary.narrowed_above(request.after.number),
            consistency=Consistency.STRONG,
            min_position=request.after,
        )
        if not history.events:
            return request.moved_to(history.position)
        if request.key is not None and await self._reader.rows(statement("receipt"), request.key):
            return request  # another append with the key was faster: what conflicts may be its own event
        first = history.events[0]
        raise ConcurrencyConflict(sequence_number=first.sequence_number, event_type=first.type, metadata=first.metadata)
