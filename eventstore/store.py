"""The store protocol: what every engine promises."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from eventstore.append import Append
from eventstore.boundary import Boundary
from eventstore.errors import EventStoreError
from eventstore.events import Event, RecordedEvent
from eventstore.filter import Filter
from eventstore.held import Held
from eventstore.position import Position
from eventstore.receipt import ACCEPTED, Outcome, Receipt
from eventstore.stored_state import StateKey, StoredState
from eventstore.stream import Consistency, EventStream, Window
from eventstore.subject_key import SubjectKey

__all__ = ["EventStore"]


class EventStore(Protocol):
    """A log of events without fixed streams.

    Every operation may raise a ``RetryableError`` when the engine's server is down, and is safe to cancel.
    """

    async def query(
        self,
        boundary: Filter,
        *,
        consistency: Consistency = Consistency.STRONG,
        min_position: Position | None = None,
    ) -> EventStream:
        """Read the matching events and the head of the log, from one snapshot.

        A filter's bound on the number speaks of events that its author has seen: no replica answers that has not.

        Args:
            boundary: Which events.
            consistency: Whether a replica may answer.
            min_position: The answer must be at least this far, in the same history. A replica that is not is passed
                over.

        Raises:
            PositionNotReached: No server came this far within the store's bound.
            HistoryDiverged: ``min_position`` is not in this store's history.
        """
        ...

    async def query_many(
        self,
        filters: Sequence[Filter],
        *,
        after: Sequence[Position] | None = None,
        known: Sequence[int] = (),
        most: int | None = None,
        consistency: Consistency = Consistency.STRONG,
        min_position: Position | None = None,
    ) -> list[EventStream]:
        """Read what several filters match and the head of the log, from one snapshot.

        Args:
            filters: Which events; each filter has bounds of its own. None at all is answered without asking.
            after: For each filter how far its events are known already: only those above are read, from a server that
                is at least so far, in the same history.
            known: For each filter how many of its events lie up to that position, as far as the caller can tell; empty
                if it cannot. It never changes the answer: a store may choose the faster way by it.
            most: How many events of one filter are wanted at most. A stream of more comes back without them, and not
                complete.
            consistency: Whether a replica may answer.
            min_position: As in ``query``.

        Returns:
            A stream for each filter, in order, all with one position.

        Raises:
            InvalidRequest: There are not as many positions or numbers as filters, or a negative number of events is
                wanted.
            PositionNotReached: No server came as far as was asked for, within the store's bound.
            HistoryDiverged: A position is not in this store's history.
        """
        ...

    async def position(self, *, consistency: Consistency = Consistency.STRONG) -> Position:
        """Return how far the log is: the head, or ``START`` while it is empty.

        What was committed before the call lies at or below it; a replica may not be so far.

        Args:
            consistency: Whether a replica may answer.
        """
        ...

    async def append(
        self,
        events: Sequence[Event],
        *,
        boundary: Boundary | None = None,
        after: Position | None = None,
        key: UUID | None = None,
        scope: str = "",
        digest: bytes | None = None,
        outcome: Outcome = ACCEPTED,
    ) -> Receipt:
        """Record all of the events, or none.

        Args:
            events: What to record, at most ``LARGEST_APPEND``. None at all validates the boundary, and writes a receipt
                if there is a key.
            boundary: Which events would have changed the decision: a filter, or parts, one at least, each with its own
                position; None appends unconditionally.
            after: How far the decision's query saw; only with a filter. Without it, any event in the boundary is a
                conflict.
            key: Makes the append idempotent: when the key has a receipt, nothing is recorded and that
                receipt is returned, marked as a duplicate, whatever the boundary says by then.
            scope: Whose key it is, such as a domain's name, up to 200 characters: one key in two scopes is two keys. A
                receipt without a scope, from before there were any, counts as one in this scope if its outcome's
                details name the scope as their ``domain``, or, where they name none, if it has the same digest.
            digest: What tells the key's request from another; by default computed from the events and boundary.
                A caller whose retries may decide differently passes one of its own, computed from the command.
            outcome: What the receipt will say.

        Returns:
            The receipt.

        Raises:
            ConcurrencyConflict: An event in the boundary lies above ``after``, or above its part's position and in none
                of that part's own ranges. Nothing is recorded.
            HistoryDiverged: ``after``, or a position or own range of a part, is not in this store's history. Nothing is
                recorded.
            IdempotencyKeyReused: The key has, in its scope, a receipt of a request with another digest.
            InvalidRequest: An argument is wrong, or they are too many. Nothing is recorded.
            OutcomeUnknown: The connection broke before the answer. Append again with the same key.

        On cancellation the append may still take effect; append again with the same key to know.
        """
        ...

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """Record appends that were decided one on top of another, in one transaction.

        Each is judged by itself, as by ``append``, but has seen the events of those before it: they are no conflict. If
        one before it is not recorded as new, because it is refused or a duplicate, then whoever has an event of it
        in the boundary was decided on what did not happen, and is refused as well.

        The events of those that are recorded are numbered without a gap, in order: from the first one's ``first`` to
        the last one's ``last`` nobody else wrote. A member without events has as its position the number of the last
        event before its place in the chain, which the chain wrote or which was the head before, with that event's
        token. A chain of which the database refuses a value is recorded in parts, each without a gap; a member of a
        later part that has its receipt already, and relied on one of an earlier part that was not recorded as new, is
        then told ``ChainBroken``, and its receipt when it is sent again.

        Args:
            appends: In the order in which they were decided; at most ``LONGEST_CHAIN``, with ``LARGEST_APPEND``
                events together. Each has a key.

        Returns:
            For each its receipt, or what ``append`` would have raised, or ``ChainBroken``: for one that relied on what
            did not happen, for one whose position is too far from the head to be judged in company, and for one that
            repeats the key of an earlier one that was refused.

        Raises:
            InvalidRequest: An argument is wrong, or there are too many. Nothing is recorded.

        On cancellation the appends may still take effect; append each again with its key to know.
        """
        ...

    def exclusive(self, *, limit: float = 0.25, patience: float = 1.0) -> AbstractAsyncContextManager[Held]:
        """Take the lock first, then read, decide and append under it: for a boundary that always loses otherwise.

        Everybody else's appends wait meanwhile, this store's own as well: inside, only what is held is to be used. What
        lies far behind the head is read before. Leaving the context without an append records nothing.

        Args:
            limit: For how many seconds the lock is held at most, commit aside; more than 0, and 10 at most. The server
                counts them, and ends the hold of a caller that is frozen or gone.
            patience: For how many seconds to wait for the lock, more than 0: at most so long for its queue, and then so
                long again for whoever has it. While it waits, it holds nothing.

        Raises:
            LockNotAcquired: Others had the lock all the time.
            InvalidRequest: A number of seconds is out of range.

        On cancellation inside nothing is recorded, unless an append was under way already.
        """
        ...

    async def receipt(self, key: UUID, *, scope: str = "", digest: bytes | None = None) -> Receipt | None:
        """Look up what became of an append. None proves nothing: it may still be under way.

        What is found is as durable as the append's own answer: whoever is told of it may rely on it.

        Args:
            key: The append's key.
            scope: Whose key it is. A receipt from before there were scopes is found if its outcome's details name the
                scope as their ``domain``.
            digest: Only a receipt of a request with this digest; None: of any.

        Raises:
            InvalidRequest: There can be no such scope.
        """
        ...

    async def receipts(self, keys: Sequence[UUID], *, scope: str = "") -> dict[UUID, Receipt]:
        """Look up what became of several appends of one scope, on the primary. What is not found proves nothing.

        What is found may still be lost in a failover: append again, or ask for the ``receipt``, before telling anybody.

        Args:
            keys: The appends' keys. None at all is answered without asking.
            scope: As in ``receipt``.

        Returns:
            The receipts that there are, by key.

        Raises:
            InvalidRequest: There can be no such scope.
        """
        ...

    async def receipts_of(self, key: UUID) -> list[Receipt]:
        """Look up what became of a key in all scopes, on the primary; the answers come in the order of the scopes."""
        ...

    def read(
        self,
        boundary: Filter,
        *,
        after: Position | None = None,
        up_to: int | None = None,
        min_position: Position | None = None,
        batch_size: int = 1000,
        consistency: Consistency = Consistency.STRONG,
    ) -> AsyncIterator[RecordedEvent]:
        """Iterate over the matching events up to the present head, in constant memory.

        Args:
            boundary: Which events.
            after: Begin above this position, which is judged as in ``query_many``: what lay below it in another history
                is not skipped in silence.
            up_to: Leave out events with a higher sequence number. Above the answering server's head it does nothing.
            min_position: As in ``query``. Who takes ``up_to`` from a position passes that position here, or else the
                read ends early where the answering server is not there yet.
            batch_size: About how many events are fetched at a time.
            consistency: Whether a replica may answer.

        Raises:
            InvalidRequest: A batch of no events was asked for, or of more than can be numbered.
            PositionNotReached: No server came as far as ``after`` or ``min_position`` within the store's bound.
            HistoryDiverged: One of them is not in this store's history.
        """
        ...

    async def latest(
        self,
        boundary: Filter,
        *,
        limit: int,
        up_to: int | None = None,
        consistency: Consistency = Consistency.STRONG,
    ) -> EventStream:
        """Read the last matching events, and a position that they are complete up to.

        Args:
            boundary: Which events.
            limit: How many at most, 1 or more; so many are held in memory.
            up_to: Leave out events with a higher sequence number, so that the last below them are found. The position
                is that of the whole log all the same.
            consistency: Whether a replica may answer.

        Returns:
            The events, in order. A subscription after the position goes on from there without a gap.

        Raises:
            InvalidRequest: No event was asked for.
        """
        ...

    def subscribe(
        self,
        boundary: Filter,
        *,
        after: Position | None = None,
        batch_size: int = 1000,
        consistency: Consistency = Consistency.EVENTUAL,
    ) -> AsyncIterator[RecordedEvent]:
        """Like ``read``, and then keep following the log, each event once and in order.

        Lost connections and servers that are down do not end it: it goes on by itself, from where it was, as soon as
        one answers. It ends by cancellation or an error that waiting does not mend.

        Raises:
            InvalidRequest: A batch of no events was asked for.
            HistoryDiverged: ``after``, or what was brought already, is not in this store's history any more. Found out
                as soon as the log is that far again. Drop what was derived from it, and begin anew.
        """
        ...

    def follow(
        self,
        boundary: Filter,
        *,
        after: Position | None = None,
        batch_size: int = 1000,
        consistency: Consistency = Consistency.EVENTUAL,
    ) -> AsyncIterator[Window]:
        """Like ``subscribe``, but by pieces of the log: for who keeps how far it has come beside what it makes of it.

        Yields:
            Pieces in order, without a gap. One that holds no match comes, too: the log was looked at as far.

        Raises:
            InvalidRequest: A batch of no events was asked for.
            HistoryDiverged: As ``subscribe``.
        """
        ...

    def all_receipts(self, *, batch_size: int = 1000) -> AsyncIterator[Receipt]:
        """Iterate over all receipts on the primary, ordered by key and scope, in constant memory.

        Raises:
            InvalidRequest: A batch of no receipts was asked for.
        """
        ...

    async def stored_states(
        self, keys: Sequence[StateKey], *, consistency: Consistency = Consistency.EVENTUAL
    ) -> list[StoredState | None]:
        """Look up stored states.

        Returns:
            For each key what was stored last, or None. Whether its position lies in the store's history is for the read
            that goes on from there to find out.
        """
        ...

    async def store_state(self, state: StoredState) -> None:
        """Store a state in place of an earlier one of its key, unless that one is further on in the same history.

        A state whose own position is not in this store's history is of no use to anybody, and is not stored.
        """
        ...

    async def make_subject_keys(self, proposed: Sequence[SubjectKey]) -> list[SubjectKey]:
        """Have a key for each of several subjects, on the primary.

        Whoever seals by it appends with a boundary that holds what forgets its subject (``forgetting_of``), read before
        this was called: what is sealed is then never recorded after its key was deleted.

        Args:
            proposed: For each subject, once, a new key, which is kept if the subject has none.

        Returns:
            The key that each subject has now, in no order. One that was forgotten at this moment is missing.
        """
        ...

    async def subject_keys(self, ids: Sequence[UUID]) -> dict[UUID, SubjectKey]:
        """Look up keys by their ids, on the primary. One that is missing was deleted: what it sealed is forgotten.

        A key is recorded before what it seals. So that is certain of what was read before this was called.
        """
        ...
