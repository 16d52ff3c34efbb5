"""Appends: judged in batches, and helped to catch up when they are too far behind to be judged."""

from collections.abc import Sequence

from opentelemetry.trace import Span

from eventstore.errors import ConcurrencyConflict, EventStoreError
from eventstore.filter import Filter
from eventstore.position import Position
from eventstore.postgres.batch import Behind, Resend
from eventstore.postgres.following import next_width
from eventstore.postgres.group_commit import GroupCommit
from eventstore.postgres.reading import Reader
from eventstore.postgres.statements import statement
from eventstore.receipt import Receipt
from eventstore.request import AppendRequest
from eventstore.store import Consistency, EventStream

__all__ = ["Appender"]

# How many numbers a walk towards the head looks at in one statement at first.
_WINDOW = 1000


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
        found = await self._search(boundary, request.after)
        if not found.events:
            return request.moved_to(found.position)
        if request.key is not None and await self._reader.rows(statement("receipt"), request.key):
            return request  # another append with the key was faster: what conflicts may be its own event
        first = found.events[0]
        raise ConcurrencyConflict(sequence_number=first.sequence_number, event_type=first.type, metadata=first.metadata)

    async def _search(self, boundary: Filter, after: Position) -> EventStream:
        """Read what matches above a position, at least the first of it, with how far it was read."""
        above = boundary.narrowed_above(after.number)
        found = await self._reader.short(above, consistency=Consistency.STRONG, min_position=after)
        if found is not None:
            return found
        # So many match that the first is near, and all of them are more than a process should hold.
        head = await self._reader.head(consistency=Consistency.STRONG)
        seen, width = above.above, _WINDOW
        while seen < head.number:
            window = boundary.narrowed_above(seen)
            seen = min(seen + width, head.number)
            found = await self._reader.query(window, consistency=Consistency.STRONG, min_position=after, up_to=seen)
            if found.events:
                return found
            width = next_width(width, 0, _WINDOW)
        return EventStream(events=(), position=head)
