"""The reader: queries views from any asyncio program. It needs a store and a domain, but no broker."""

from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

from eventstore import Consistency, EventStore, InvalidRequest, Position
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
# Seconds. The longest age of states with personal values: a forgotten subject is invisible everywhere after this time.
_LONGEST_UNSEEN = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[S]):
    """The answer of a view for a key.

    Attributes:
        state: The state of the view. It is immutable and shared: the caller must not change it.
        position: The head of the log that the state was read up to.
    """

    state: S
    position: Position


class Reader:
    """Answers queries of a domain's views. It can be shared by the tasks of one event loop.

    ::

        reader = Reader(store, domain)
        shelf_now = await reader.state(shelf.at("tea"), min_position=reply.position)

    Args:
        store: The store that has the events.
        domain: The domain whose views are queried.
        most_states: The largest number of states kept between queries; by default 10,000.
        master: The master keys that wrap the subjects' keys; None only if the domain has no Sensitive fields.

    Raises:
        InvalidMasterKey: The domain has Sensitive fields, and ``master`` is None.
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
        """Return the state of a part. Arguments and errors are those of ``answer``."""
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
        """Return the state of a part, with the position that it was read up to.

        Args:
            part: The view with a key, made by ``View.at``.
            min_position: The position that the answer must have reached, such as a reply's, so that it includes what
                the reply reports; None for any.
            max_age: The largest age in seconds of a kept answer that is returned without a query; by default 0. For a
                view of events with Sensitive fields it is at most 5.
            consistency: Whether a replica may answer, now or within ``max_age``; by default it may. For a view of
                events with Sensitive fields it never does: it could lag behind the forgetting of a subject.

        Raises:
            UnknownView, InvalidParts: The argument is no part, or its view is not listed by the domain.
            InvalidRequest: ``min_position`` is no position.
            InvalidView: The part's filter is refused, as in ``Domain.refuse_if_missing``.
            PositionNotReached: No server reached ``min_position`` before the store's timeout.
            HistoryDiverged: ``min_position``, or the position of a kept state, is no longer in the store's history. The
                next query reads everything again.
            UnknownEventType, UnreadableEvent: An event has an unknown type or cannot be read, as in
                ``Domain.recorded``.
            EventStoreError: The store failed, as in ``EventStore.query_many``.
        """
        if not isinstance(part, Part):
            raise InvalidParts(f"a reader is asked a view at a key, such as shelf.at(…), not {kind_of(part)}")
        if self._domain.view(part.view.name) is not part.view:
            raise InvalidParts(f"the domain {self._domain.name} lists another view {part.view.name} than was asked")
        if min_position is not None and not isinstance(min_position, Position):
            raise InvalidRequest(
                f"min_position is a Position, not {kind_of(min_position)}: Position.parse(text) makes one of a text"
            )
        self._domain.refuse_if_missing(part)
        if self._domain.sensitive.are_read_by(part):
            # A replica that lags does not know who is forgotten: a state that was kept or stored before would show it.
            max_age, consistency = min(max_age, _LONGEST_UNSEEN), Consistency.STRONG
        kept = self._kept.find(part)
        if kept is None or not _serves(kept, min_position, max_age, consistency):
            found = await self._parts.read([part], consistency=consistency, min_position=min_position)
            kept = found[part]
        return Answer(state=kept.state, position=kept.position)

    async def close(self) -> None:
        """Cancel long reads, and wait up to one second for states that are being stored. The store stays open."""
        await self._parts.close()


def _serves(kept: KeptState, min_position: Position | None, max_age: float, consistency: Consistency) -> bool:
    # NaN is no age: it never matches.
    if not (max_age > 0 and monotonic() - kept.read_at <= max_age):
        return False
    if kept.replica and consistency is Consistency.STRONG:
        return False
    return min_position is None or kept.position.number > min_position.number or kept.position == min_position
