"""The appender: sends appends in batches, and first moves positions nearer to the head if they are too old."""

from collections.abc import Sequence

from msgspec.structs import replace
from opentelemetry.trace import Span

from eventstore.append import Append
from eventstore.boundary import BoundaryPart
from eventstore.errors import ConcurrencyConflict, EventStoreError
from eventstore.events import RecordedEvent
from eventstore.position import Position
from eventstore.postgres.appends.batch import AppendAnswer, Behind
from eventstore.postgres.appends.group_commit import GroupCommit
from eventstore.postgres.reads.reader import Reader
from eventstore.postgres.reads.windows import walk
from eventstore.postgres.statements import statement
from eventstore.receipt import Receipt
from eventstore.stream import Consistency, EventStream

__all__ = ["Appender"]

# The approximate number of matching events that a walk towards the head fetches in one statement.
_WINDOW = 1000


class Appender:
    """Answers appends.

    Args:
        batches: The group commit that checks and records appends.
        reader: Searches above a position that is too far below the head.
    """

    def __init__(self, batches: GroupCommit, reader: Reader) -> None:
        self._batches = batches
        self._reader = reader

    async def append(self, append: Append, span: Span) -> Receipt:
        """Answer ``EventStore.append``; ``span`` is linked to each batch that carries the append."""
        while True:
            match await self._batches.settle(append, span):
                case Receipt() as receipt:
                    return receipt
                case EventStoreError() as error:
                    raise error
                case Behind(part=place):
                    append = await self._catch_up(append, place)

    async def append_chain(
        self, appends: Sequence[Append], spans: Sequence[Span], *, unanswered: int = 0
    ) -> list[AppendAnswer]:
        """Answer ``EventStore.append_chain``.

        Args:
            appends: The appends, in the order in which they were decided.
            spans: The spans of the appends, in the same order; each is linked to each batch that carries its append.
            unanswered: The number of times that the chain was sent before without an answer; by default 0.
        """
        return await self._batches.settle_chain(appends, spans, unanswered=unanswered)

    async def _catch_up(self, append: Append, place: int) -> Append:
        """Search above the old positions outside the lock, and return the append with positions nearer to the head.

        Args:
            append: The append.
            place: The index of a part that is too far below the head; so are all parts whose position is not later.
        """
        parts = list(append.parts)
        if not parts:
            raise EventStoreError("the store called an unconditional append behind; it judges a position it has not")
        furthest = parts[place].after.number
        unseen: list[tuple[int, int, RecordedEvent]] = []
        nearer = [(index, part) for index, part in enumerate(parts) if part.after.number > furthest]
        for index, part in enumerate(parts):
            if part.after.number <= furthest:
                # The newer position is later verified by its own token; that the older one lies in the same history is
                # verified here.
                first, position = await self._search(part)
                if first is not None:
                    unseen.append((first.sequence_number, index, first))
                parts[index] = replace(part, after=position)
        if not unseen:
            return append.with_parts(parts)
        identity = (append.key, append.scope, append.digest)
        if append.key is not None and await self._reader.rows(statement("answered"), *identity):
            return append  # another append with the key was faster: the conflict may be its own event
        # The error names the first conflict of all parts, also of those that could be checked under the lock.
        for index, part in nearer:
            first, _ = await self._search(part)
            if first is not None:
                unseen.append((first.sequence_number, index, first))
        _, index, first = min(unseen, key=lambda found: found[:2])
        raise ConcurrencyConflict(
            sequence_number=first.sequence_number, event_type=first.type, metadata=first.metadata, part=index
        )

    async def _search(self, part: BoundaryPart) -> tuple[RecordedEvent | None, Position]:
        """Return the first unseen event of a part, or None, and the position that was read up to."""
        if part.besides:
            # Each is verified by its token under the lock, unless it is archived.
            own = [each.last for each in part.besides]
            await self._reader.head(consistency=Consistency.STRONG, positions=own)
        above = part.filter.narrowed_above(part.after.number)
        found = await self._reader.short(above, consistency=Consistency.STRONG, min_position=part.after)
        if found is not None:
            return _first_unseen(part, found), found.position
        # So many events match that the first one is near, and that a process should not hold all of them.
        head = await self._reader.head(consistency=Consistency.STRONG, positions=(part.after,))
        windows = walk(
            self._reader,
            part.filter,
            seen=above.above,
            last=head.number,
            batch_size=_WINDOW,
            consistency=Consistency.STRONG,
            min_position=head,
        )
        async for found in windows:
            if (first := _first_unseen(part, found)) is not None:
                return first, found.position
        return None, head


def _first_unseen(part: BoundaryPart, stream: EventStream) -> RecordedEvent | None:
    return next((event for event in stream.events if not part.saw(event.sequence_number)), None)
