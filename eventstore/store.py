"""The store protocol: the contract of every engine."""

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
        """Read the matching events and the head of the log from one snapshot.

        A filter's bound on the number means that the caller has seen the events up to it: a replica that has not
        reached it does not answer.

        Args:
            boundary: The filter that selects the events.
            consistency: Whether a replica may answer; by default only the primary.
            min_position: The position that the answering server must have reached, in the same history; None for any. A
                replica that has not is skipped.

        Raises:
            PositionNotReached: No server reached ``min_position`` before the store's timeout.
            HistoryDiverged: ``min_position`` is not in this store's history.
            HistoryArchived: Matching events, or ``min_position``, may be archived.
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
        """Read the matching events of several filters and the head of the log from one snapshot.

        Args:
            filters: The filters, each with its own bounds. If there are none, the call returns at once without asking a
                server.
            after: For each filter the position up to which the caller has its events: only later ones are read, from a
                server that has reached the position in the same history.
            known: For each filter the number of its events up to that position, as far as the caller knows; empty if
                unknown. It only helps the store to choose the faster plan and never changes the answer.
            most: The largest number of events wanted of one filter; None for all. If a filter matches more, its stream
                has no events and is not ``complete``.
            consistency: Whether a replica may answer; by default only the primary.
            min_position: The position that the answering server must have reached; as in ``query``.

        Returns:
            One stream for each filter, in order, all with the same position.

        Raises:
            InvalidRequest: The number of positions, or of ``known``, differs from the number of filters, or ``most`` is
                negative.
            PositionNotReached: No server reached the required positions before the store's timeout.
            HistoryDiverged: A position is not in this store's history.
            HistoryArchived: A position, or events that a filter matches, may be archived. The error's ``places`` has
                the indexes of the filters concerned; the others can be asked without them.
        """
        ...

    async def position(self, *, consistency: Consistency = Consistency.STRONG) -> Position:
        """Return the head of the log, or ``START`` while it is empty.

        Everything committed before the call lies at or below it; a replica may lag behind.

        Args:
            consistency: Whether a replica may answer; by default only the primary.
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
            events: The events to record, at most ``LARGEST_APPEND``. With none, the boundary is checked and, with a
                key, a receipt is written.
            boundary: The events that would have changed the decision: a filter, or one part or more with a position
                each. None appends unconditionally.
            after: The position up to which the decision's query read; only with a filter. Without it, any event in the
                boundary is a conflict.
            key: The idempotency key: if it has a receipt, nothing is recorded and that receipt is returned, marked as a
                duplicate, whatever the boundary says by then.
            scope: The namespace of the key, such as a domain's name, up to 200 characters: one key in two scopes is two
                keys. A receipt without a scope, as earlier releases wrote it, counts as one in this scope if its
                outcome's details name the scope as their ``domain``, or, where they name none, if it has the same
                digest.
            digest: Identifies the request that the key belongs to, 1 to 64 bytes; by default computed from the events
                and boundary. A caller whose retries may decide differently passes its own, computed from the command.
            outcome: The outcome that the receipt will state.

        Returns:
            The receipt of this append, or the stored one of an earlier append with the same key.

        Raises:
            ConcurrencyConflict: An event in the boundary lies above ``after``, or above its part's position and in none
                of that part's own ranges. Nothing is recorded.
            HistoryDiverged: ``after``, or a position or own range of a part, is not in this store's history. Nothing is
                recorded.
            HistoryArchived: A position is far below the head, and it or events above it may be archived. Nothing is
                recorded.
            IdempotencyKeyReused: The key has, in its scope, a receipt of a request with another digest.
            InvalidRequest: An argument is invalid, or there are too many events. Nothing is recorded.
            OutcomeUnknown: The connection broke before the answer. Append again with the same key.

        If the call is cancelled, the append may still take effect; append again with the same key to find out.
        """
        ...

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """Record appends that were decided one on top of another, in one transaction.

        Each is checked by itself, as by ``append``, but the events of earlier members count as seen: they are no
        conflict. If an earlier member is not recorded as new, because it is refused or a duplicate, then every later
        member whose boundary matches one of its events was decided on an event that did not happen, and is refused as
        well.

        The events of recorded members are numbered without a gap, in order: no other append writes between the first
        one's ``first`` and the last one's ``last``. A member without events has as its position the last event before
        its place in the chain, whether the chain wrote it or it was the head before. If the database refuses a value of
        a member, the chain is recorded in parts, each without a gap. Then a member of a later part that has its receipt
        already, and relied on one of an earlier part that was not recorded as new, is answered with ``ChainBroken``,
        and with its receipt when it is sent again.

        Args:
            appends: The appends in the order in which they were decided; at most ``LONGEST_CHAIN``, with at most
                ``LARGEST_APPEND`` events together. Each has a key.

        Returns:
            For each append its receipt, or the error that ``append`` would have raised, or ``ChainBroken``: for one
            that relied on an event that was not recorded, for one whose position is too far below the head to be
            checked within a chain, and for one that repeats the key of a refused member.

        Raises:
            InvalidRequest: A member has no key, or there are too many members or events. Nothing is recorded.

        If the call is cancelled, the appends may still take effect; append each again with its key to find out.
        """
        ...

    def exclusive(self, *, limit: float = 0.25, patience: float = 1.0) -> AbstractAsyncContextManager[Held]:
        """Take the lock first, then read, decide and append under it: for a boundary that always conflicts otherwise.

        All other appends wait for the lock, also those of this store instance: inside the context, use only the
        ``Held``. Read events that lie far below the head before taking the lock. If the context is left without an
        append, nothing is recorded.

        Args:
            limit: The longest time in seconds that the lock is held, without the commit; above 0 and at most 10. The
                server enforces it, also against a caller that is frozen or gone.
            patience: The timeout in seconds for taking the lock, above 0 and at most 60. It applies twice: to the queue
                for the lock, and then to the present holder. A waiting caller holds nothing.

        Raises:
            LockNotAcquired: Other callers held the lock until the timeout.
            InvalidRequest: ``limit`` or ``patience`` is out of range.

        If the block is cancelled, nothing is recorded, unless an append was already running.
        """
        ...

    async def receipt(self, key: UUID, *, scope: str = "", digest: bytes | None = None) -> Receipt | None:
        """Look up the receipt of an append. None proves nothing: the append may still be running.

        A receipt that is found is as durable as the append's own answer: the caller may rely on it.

        Args:
            key: The append's key.
            scope: The namespace of the key. A receipt without a scope, as earlier releases wrote it, is found if its
                outcome's details name the scope as their ``domain``.
            digest: Return only a receipt of a request with this digest; None for any.

        Raises:
            InvalidRequest: The scope is invalid, as for ``append``.
        """
        ...

    async def receipts(self, keys: Sequence[UUID], *, scope: str = "") -> dict[UUID, Receipt]:
        """Look up the receipts of several appends of one scope, on the primary. A missing receipt proves nothing.

        A receipt that is found may still be lost in a failover: append again, or call ``receipt``, before relying on
        it.

        Args:
            keys: The appends' keys. If there are none, the call returns at once without asking a server.
            scope: The namespace of the keys; as in ``receipt``.

        Returns:
            The receipts that were found, by key.

        Raises:
            InvalidRequest: The scope is invalid, as for ``append``.
        """
        ...

    async def receipts_of(self, key: UUID) -> list[Receipt]:
        """Look up the receipts of a key in all scopes, on the primary; they are ordered by scope."""
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
            boundary: The filter that selects the events.
            after: Begin above this position; None for the start of the log. It is verified as in ``query_many``, so
                that a read after a rewritten history fails instead of silently skipping events.
            up_to: Exclude events with a higher sequence number. Above the answering server's head it has no effect.
            min_position: The position that the answering server must have reached; as in ``query``. A caller that takes
                ``up_to`` from a position passes that position here as well; otherwise the read may end early on a
                server that lags.
            batch_size: The approximate number of events fetched at a time; by default 1,000.
            consistency: Whether a replica may answer; by default only the primary.

        Raises:
            InvalidRequest: ``batch_size`` is below 1 or above the largest sequence number.
            PositionNotReached: No server reached ``after`` or ``min_position`` before the store's timeout.
            HistoryDiverged: ``after`` or ``min_position`` is not in this store's history.
            HistoryArchived: Matching events, ``after`` or ``min_position`` may be archived. It can be raised after
                events were returned.
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
        """Read the last matching events, and the position up to which they are complete.

        Args:
            boundary: The filter that selects the events.
            limit: The largest number of events, 1 or more; all of them are held in memory.
            up_to: Exclude events with a higher sequence number, and find the last ones below it. The returned position
                is still the head of the whole log.
            consistency: Whether a replica may answer; by default only the primary.

        Returns:
            The events, in order. A subscription after the returned position continues from there without a gap.

        Raises:
            InvalidRequest: ``limit`` is below 1 or above the largest sequence number.
            HistoryArchived: Fewer than ``limit`` events above the archived range match, and archived events may match.
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
        """Iterate like ``read``, and then keep following the log: each event once and in order.

        The iterator survives lost connections and servers that are down: it resumes where it was as soon as a server
        answers. It ends by cancellation or by an error that a retry cannot cure.

        Raises:
            InvalidRequest: ``batch_size`` is below 1 or above the largest sequence number.
            HistoryDiverged: ``after``, or an event that was returned already, is no longer in this store's history.
                Detected as soon as the log is that long again. Drop everything derived from it, and begin anew.
            HistoryArchived: Matching events, or the position that was reached, may be archived.
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
        """Follow like ``subscribe``, but in windows, for a reader that stores its position with the state it derives.

        Yields:
            Windows of the log in order, without a gap. Windows without a matching event are included, so that the
            reader's position advances.

        Raises:
            InvalidRequest: ``batch_size`` is below 1 or above the largest sequence number.
            HistoryDiverged: ``after``, or a window that was returned already, is no longer in this store's history; as
                in ``subscribe``.
            HistoryArchived: Matching events, or the position that was reached, may be archived.
        """
        ...

    def all_receipts(self, *, batch_size: int = 1000) -> AsyncIterator[Receipt]:
        """Iterate over all receipts on the primary, ordered by key and scope, in constant memory.

        Raises:
            InvalidRequest: ``batch_size`` is below 1 or above the largest sequence number.
        """
        ...

    async def stored_states(
        self, keys: Sequence[StateKey], *, consistency: Consistency = Consistency.EVENTUAL
    ) -> list[StoredState | None]:
        """Look up stored states.

        Returns:
            For each key the state that was stored last, or None. Whether its position lies in the store's history is
            left to the read that continues from it.
        """
        ...

    async def store_state(self, state: StoredState) -> None:
        """Store a state, replacing an earlier one of its key unless that one is further ahead in the same history.

        A state whose own position is not in this store's history is not stored: no reader could use it.
        """
        ...

    async def make_subject_keys(self, proposed: Sequence[SubjectKey]) -> list[SubjectKey]:
        """Get or create the key of each of several subjects, on the primary.

        A caller that seals with a key appends with a boundary that includes the events of ``forgetting_of`` its
        subject, read before this call. Then an event is never recorded with values sealed by a key that was deleted.

        Args:
            proposed: One new key for each subject, each subject once. It is stored if the subject has no key yet.

        Returns:
            The present key of each subject, in no particular order. The key of a subject that is forgotten during the
            call is missing.
        """
        ...

    async def subject_keys(self, ids: Sequence[UUID]) -> dict[UUID, SubjectKey]:
        """Look up keys by their ids, on the primary. A missing key was deleted: values sealed with it are forgotten.

        A key is stored before any value that it seals. So a missing key was deleted, if the value was read before this
        call.
        """
        ...
