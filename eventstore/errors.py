"""The errors that a store raises, in families that say what the caller should do.

* ``ConflictError``: the decision is out of date. Query again, decide again, append again.
* ``RetryableError``: nothing is wrong with the request. The same call may succeed later.
* ``PermanentError``: the same call will fail the same way. Change the request, or call a person.

An ``EventStoreError`` outside these families is a failure that the store does not know; treat it as a bug.
"""

from typing import TYPE_CHECKING, Self
from uuid import UUID

if TYPE_CHECKING:
    from eventstore.stream import EventStream

__all__ = [
    "ChainBroken",
    "ConcurrencyConflict",
    "ConflictError",
    "EventStoreError",
    "HistoryArchived",
    "HistoryDiverged",
    "HoldExpired",
    "IdempotencyKeyReused",
    "InvalidEvent",
    "InvalidFilter",
    "InvalidRequest",
    "LockNotAcquired",
    "OutcomeUnknown",
    "PermanentError",
    "PositionNotReached",
    "RetryableError",
    "StoreMisconfigured",
    "StoreUnavailable",
    "TooFarBehind",
    "TransientStoreError",
]


class EventStoreError(Exception):
    """Base of every error that a store raises.

    Attributes:
        code: The SQLSTATE, or the class name of the driver's error; None if neither caused the error.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code

    def copy_for_caller(self) -> Self:
        """Return an equal error for another caller: a shared instance would collect the tracebacks of all callers."""
        twin = type(self).__new__(type(self), *self.args)
        twin.__dict__.update(self.__dict__)
        twin.__cause__ = self
        return twin


class ConflictError(EventStoreError):
    """The decision was made on facts that have changed. Query, decide and append again."""


class ConcurrencyConflict(ConflictError):
    """Raised by ``append``: an event in the boundary lies above the position of the decision.

    Attributes:
        sequence_number: The sequence number of the first conflicting event.
        event_type: The type of the first conflicting event.
        metadata: The metadata of the first conflicting event, such as its writer and trace.
        part: The index, from 0, of the boundary part that the event lies in; the lowest if it lies in several.
        unseen: All events of the boundary above the position, and the head at that time, if the boundary is a single
            filter. A caller that folds them onto its state can decide again and append after that position without
            another query. None if the store has not read all of them: query again.
    """

    def __init__(
        self,
        *,
        sequence_number: int,
        event_type: str,
        metadata: dict[str, object],
        part: int = 0,
        unseen: "EventStream | None" = None,
    ) -> None:
        super().__init__(f"event {sequence_number} ({event_type}) entered the boundary after it was read")
        self.sequence_number = sequence_number
        self.event_type = event_type
        self.metadata = metadata
        self.part = part
        self.unseen = unseen


class ChainBroken(ConflictError):
    """Returned for a member of ``append_chain`` whose decision relied on an event that was not recorded.

    The event belongs to an earlier member. Also returned for a member whose position is too far below the head to be
    checked within a chain, and for one that repeats the key of a refused member. Nothing is recorded for it. Query,
    decide and append again.
    """


class HistoryDiverged(ConflictError):
    """Raised by ``append`` and reads: the position does not lie in this store's history.

    A failover to a standby that lacked the last events rewrites the history after a reader has read it. Drop every
    cached state, then query, decide and append again.
    """


class RetryableError(EventStoreError):
    """Nothing is wrong with the request; the same call may succeed later."""


class StoreUnavailable(RetryableError):
    """Raised by every operation: the database is down, read-only, full, or unreachable.

    Every request fails alike. Stop sending, probe, and resume when a probe succeeds.
    """


class TransientStoreError(RetryableError):
    """Raised by every operation: the database refused this request for a temporary reason."""


class LockNotAcquired(TransientStoreError):
    """Raised by ``exclusive``, migrations and archiving: others held the lock until the timeout. Nothing was done."""


class HoldExpired(TransientStoreError):
    """Raised under ``exclusive``: the time limit of the lock passed, or its connection broke. Nothing is recorded."""


class TooFarBehind(TransientStoreError):
    """Raised under ``exclusive``: a read would begin too far below the head. Read up to the head before locking."""


class PositionNotReached(RetryableError):
    """Raised by ``query`` and ``read``: no server reached ``min_position`` before the store's timeout."""


class OutcomeUnknown(RetryableError):
    """Raised by ``append``: the connection broke before the answer came.

    The events may or may not be recorded. With a key, append again with the same key: the store answers
    with the first receipt or does the work. Without one, read before deciding what to do.
    """


class PermanentError(EventStoreError):
    """The same call will fail the same way."""


class InvalidRequest(PermanentError, ValueError):
    """Raised by every operation: the database refuses a value of the request, or its size."""


class InvalidEvent(InvalidRequest):
    """Raised when an ``Event`` is constructed: its type, payload, metadata or time cannot be recorded."""


class InvalidFilter(InvalidRequest):
    """Raised when a predicate or filter is constructed: no query can be made of it."""


class IdempotencyKeyReused(PermanentError):
    """Raised by ``append``: the key has a receipt for a different request.

    Attributes:
        key: The reused key.
    """

    def __init__(self, key: UUID) -> None:
        super().__init__(f"key {key} was used before, for a different request")
        self.key = key


class HistoryArchived(PermanentError):
    """Raised by reads, and by ``append`` from an old position: events that may be needed are archived.

    They were moved out of the database, so that an answer from the database alone could be incomplete. Restore the
    range, or read only above it.

    Attributes:
        first: The first sequence number of the archived range; of the lowest range if several are concerned.
        last: The last sequence number of that range.
        places: For a question of several filters, the indexes, from 0, of those that cannot be answered; empty if the
            whole question cannot.
        position: The sequence number of a position inside the range, if that is the reason: without the event, the
            store cannot tell whether the position belongs to this history. Reads from the beginning or from a later
            position do not need it.
    """

    def __init__(self, *, first: int, last: int, places: tuple[int, ...] = (), position: int | None = None) -> None:
        if position is None:
            reason = f"events {first:,} to {last:,} are archived, and this call may need some of them"
            remedy = "restore them with `worker db restore-archive`, and try again"
        else:
            reason = f"events {first:,} to {last:,} are archived, and with them position {position:,}"
            remedy = "start again from the beginning, or restore them with `worker db restore-archive`, and try again"
        super().__init__(f"{reason}: {remedy}")
        self.first = first
        self.last = last
        self.places = places
        self.position = position


class StoreMisconfigured(PermanentError):
    """Raised by every operation: wrong address, credentials, privileges, settings or schema version.

    The message says what to change.
    """
