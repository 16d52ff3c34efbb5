"""The reader: asks views, from any asyncio program. It needs a store and a domain, and no broker."""

from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

from eventstore import Consistency, EventStore, Position
from handlers.domain import Domain
from handlers.erasure.master_key import MasterKeys
from handlers.errors import InvalidParts
from handlers.kept_states import KeptState, KeptStates
from handlers.kind import kind_of
from handlers.part import Part
from handlers.part_reader import PartReader

__all__ = ["Answer", "Reader"]

S = TypeVar("S")

_MOST_STATES = 10_000
# Of a view that shows personal values: who is forgotten is so everywhere after so many seconds.
_LONGEST_UNSEEN = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[S]):
    """What a view says at a key.

    Attributes:
        state: Its state. It is immutable, and shared: whoever gets it must not change it.
        position: How far the log was.
    """

    state: S
    position: Position


class Reader:
    """Answers what the views of a domain say. Safe to share between the tasks of one event loop.

    ::

        reader = Reader(store, domain)
        shelf_now = await reader.state(shelf.at("tea"), min_position=reply.position)

    Args:
        store: Where the events are.
        domain: Whose views are asked.
        most_states: The most states to keep between questions.
        master: What the keys of subjects are wrapped by, if the domain has Sensitive fields.

    Raises:
        InvalidMasterKey: The domain has Sensitive fields, and there is none.
    """

    def __init__(
        self, store: EventStore, domain: Domain, *, most_states: int = _MOST_STATES, master: MasterKeys | None = None
    ) -> None:
        self._domain = domain
        self._kept = KeptStates(most_states)
        self._parts = PartReader(store, domain, self._kept, master=master)

    async def state(
        self,
        part: Part[S],
        *,
        min_position: Position | None = None,
        max_age: float = 0.0,
        consistency: Consistency = Consistency.EVENTUAL,
    ) -> S:
        """Return the state of a part, as ``answer`` finds it."""
        answer = await self.answer(part, min_position=min_position, max_age=max_age, consistency=consistency)
        return answer.state

    async def answer(
        self,
        part: Part[S],
        *,
        min_position: Position | None = None,
        max_age: float = 0.0,
        consistency: Consistency = Consistency.EVENTUAL,
    ) -> Answer[S]:
        """Return the state of a part, with how far the log was.

        Args:
            part: A view at a key.
            min_position: The answer must be at least this far; a reply's position, for instance, so that what was
                answered is seen.
            max_age: An answer that is at most so many seconds old is given without asking the database; of a view of
                events with Sensitive fields, at most 5.
            consistency: Whether a replica may answer, now or within ``max_age``.

        Raises:
            UnknownView, InvalidParts: It is no part, or one of a view that the domain does not list.
            InvalidView: As ``Domain.refuse_if_missing``.
            PositionNotReached: No server came as far as ``min_position`` within the store's bound.
            HistoryDiverged: ``min_position``, or what was kept, is not in the store's history any more. Asking again
                reads everything anew.
            UnknownEventType, UnreadableEvent: As ``Domain.recorded``.
            EventStoreError: As ``EventStore.query_many``.
        """
        if not isinstance(part, Part):
            raise InvalidParts(f"a reader is asked a view at a key, such as shelf.at(…), not {kind_of(part)}")
        if self._domain.view(part.view.name) is not part.view:
            raise InvalidParts(f"the domain {self._domain.name} lists another view {part.view.name} than was asked")
        self._domain.refuse_if_missing(part)
        if self._domain.sensitive.are_read_by(part):
            max_age = min(max_age, _LONGEST_UNSEEN)
        kept = self._kept.find(part)
        if kept is None or not _serves(kept, min_position, max_age, consistency):
            found = await self._parts.read([part], consistency=consistency, min_position=min_position)
            kept = found[part]
        return Answer(state=kept.state, position=kept.position)

    async def close(self) -> None:
        """End long reads, and wait a little for states that are being stored. The store stays open."""
        await self._parts.close()


def _serves(kept: KeptState, min_position: Position | None, max_age: float, consistency: Consistency) -> bool:
    # Not a number is no age, and never served.
    if not (max_age > 0 and monotonic() - kept.read_at <= max_age):
        return False
    if kept.replica and consistency is Consistency.STRONG:
        return False
    return min_position is None or kept.position.number > min_position.number or kept.position == min_position
