"""The store protocol: what every engine promises, and the values that pass through it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from opentelemetry.context import Context

from eventstore.boundary import Boundary
from eventstore.errors import EventStoreError
from eventstore.events import Event, RecordedEvent
from eventstore.filter import Filter
from eventstore.position import Position
from eventstore.receipt import ACCEPTED, Outcome, Receipt
from eventstore.stored_state import StateKey, StoredState

__all__ = [
    "LONGEST_CHAIN",
    "Append",
    "Consistency",
    "EventStore",
    "EventStream",
]

LONGEST_CHAIN = 128
"""How many members a chain may have: it is recorded in one transaction, during which everybody else waits."""


class Consistency(StrEnum):
    """Where a read may be answered.

    STRONG: by the primary; everything recorded before the call is seen.
    EVENTUAL: by a replica, which may lag. An append that follows is still checked on the primary.
    """

    STRONG = "strong"
    EVENTUAL = "eventual"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStream:
    """What a query found.

    Attributes:
        events: The matching events, in order.
        position: The head of the log in the same snapshot: the ``after`` of an append that follows.
        replica: Whether a replica answered.
        complete: Whether these are all of them; if not, there are more than the caller wanted, and none is here.
    """

    events: tuple[RecordedEvent, ...]
    position: Position
    replica: bool = False
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """One member of a chain: the arguments of ``EventStore.append``, which describes them.

    Attributes:
        events: What to record.
        boundary: Which events would have changed the decision, besides those of earlier members.
        after: How far the decision's query saw, if the boundary is a filter.
        key: Makes it idempotent. Every member needs one.
        scope: Whose key it is.
        digest: What tells the key's request from another.
        outcome: What the receipt will say.
        context: Where its span belongs; the current context if None.
    """

    events: Sequence[Event]
    boundary: Boundary | None = None
    after: Position | None = None
    key: UUID | None = None
    scope: str = ""
    digest: bytes | None = None
    outcome: Outcome = ACCEPTED
    context: Context | None = None


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
            events: What to record. None at all validates the boundary, and writes a receipt if there is a key.
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
            OutcomeUnknown: The connection broke before the answer. Append again with the same key.

        On cancellation the append may still take effect; append again with the same key to know.
        """
        ...

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """Record appends that were decided one on top of another, in one transaction.

        Each is judged by itself, as by ``append``, but has seen the events of those before it: they are no conflict. If
        one before it is not recorded as new, because it is refused or a duplicate, then whoever has an event of it
        in the boundary was decided on what did not happen, and is refused as well.

        Args:
            appends: In the order in which they were decided; at most ``LONGEST_CHAIN``. Each has a key.

        Returns:
            For each its receipt, or what ``append`` would have raised, or ``ChainBroken``: for one that relied on what
            did not happen, for one whose position is too far from the head to be judged in company, and for one that
            repeats the key of an earlier one that was refused.

        Raises:
            InvalidRequest: An argument is wrong, or there are too many. Nothing is recorded.

        On cancellation the appends may still take effect; append each again with its key to know.
        """
        ...

    async def receipt(self, key: UUID, *, scope: str = "", digest: bytes | None = None) -> Receipt | None:
        """Look up what became of an append. None proves nothing: it may still be under way.

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
            after: Begin above this position.
            up_to: Leave out events with a higher sequence number. Above the answering server's head it does nothing.
            min_position: As in ``query``. Who takes ``up_to`` from a position passes that position here, or else the
                read ends early where the answering server is not there yet.
            batch_size: About how many events are fetched at a time.
            consistency: Whether a replica may answer.

        Raises:
            InvalidRequest: A batch of no events was asked for.
            PositionNotReached: No server came as far as ``min_position`` within the store's bound.
            HistoryDiverged: ``min_position`` is not in this store's history.
        """
        ...

    async def latest(
        self, boundary: Filter, *, limit: int, consistency: Consistency = Consistency.STRONG
    ) -> EventStream:
        """Read the last matching events, and a position that they are complete up to.

        Args:
            boundary: Which events.
            limit: How many at most, 1 or more; so many are held in memory.
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
