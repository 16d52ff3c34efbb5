"""Appends: judged in batches, and helped to catch up when they are too far behind to be judged."""

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

# About how many events a walk towards the head finds in one statement.
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

    async def append(self, append: Append, span: Span) -> Receipt:
        """AppendAnswer ``EventStore.append``; ``span`` links to each batch that carries it."""
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
        """AppendAnswer ``EventStore.append_chain``; each span links to each batch that carries its append.

        Args:
            appends: The chain.
            spans: Those of its members.
            unanswered: How often the chain was sent before without an answer.
        """
        return await self._batches.settle_chain(appends, spans, unanswered=unanswered)

    async def _catch_up(self, append: Append, place: int) -> Append:
        """Search above the positions outside the lock; return the append with positions nearer to the head.

        Args:
            append: The append.
            place: A part that is behind; so is every other with no later position.
        """
        parts = list(append.parts)
        if not parts:
            raise EventStoreError("the store called an unconditional append behind; it judges a position it has not")
        furthest = parts[place].after.number
        unseen: list[tuple[int, int, RecordedEvent]] = []
        nearer = [(index, part) for index, part in enumerate(parts) if part.after.number > furthest]
        for index, part in enumerate(parts):
            if part.after.number <= furthest:
                # The newer position will be judged by its own token; that the older one lies in the same history is
                # seen here.
                first, position = await self._search(part)
                if first is not None:
                    unseen.append((first.sequence_number, index, first))
                parts[index] = replace(part, after=position)
        if not unseen:
            return append.with_parts(parts)
        identity = (append.key, append.scope, append.digest)
        if append.key is not None and await self._reader.rows(statement("answered"), *identity):
            return append  # another append with the key was faster: what conflicts may be its own event
        # The conflict that is named is the first of all parts, also of those that could be judged under the lock.
        for index, part in nearer:
            first, _ = await self._search(part)
            if first is not None:
                unseen.append((first.sequence_number, index, first))
        _, index, first = min(unseen, key=lambda found: found[:2])
        raise ConcurrencyConflict(
            sequence_number=first.sequence_number, event_type=first.type, metadata=first.metadata, part=index
        )

    async def _search(self, part: BoundaryPart) -> tuple[RecordedEvent | None, Position]:
        """Find the first event of a part that it has not seen, if there is one, and how far the log was read."""
        if part.besides:
            # They are judged under the lock, each by its token, unless they are archived.
            own = [each.last for each in part.besides]
            await self._reader.head(consistency=Consistency.STRONG, positions=own)
        above = part.filter.narrowed_above(part.after.number)
        found = await self._reader.short(above, consistency=Consistency.STRONG, min_position=part.after)
        if found is not None:
            return _first_unseen(part, found), found.position
        # So many match that the first is near, and all of them are more than a process should hold.
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
