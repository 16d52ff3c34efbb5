"""Everything a store raises, in families that say what the caller should do.

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
        code: The SQLSTATE or the driver's class name behind the error, where there is one.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code

    def copy_for_caller(self) -> Self:
        """Return an equal error for another caller: a shared one would collect all their tracebacks."""
        twin = type(self).__new__(type(self), *self.args)
        twin.__dict__.update(self.__dict__)
        twin.__cause__ = self
        return twin


class ConflictError(EventStoreError):
    """The decision was made on facts that have changed. Query, decide and append again."""


class ConcurrencyConflict(ConflictError):
    """Raised by ``append``: an event in the boundary lies above the position of the decision.

    Attributes:
        sequence_number: The number of the first conflicting event.
        event_type: Its type.
        metadata: Its metadata: who wrote it, in which trace.
        part: Which part of the boundary it lies in, from 0; the first of them if there are several.
        unseen: The events that the boundary, a single filter, has above the position, and how far the log was then:
            whoever puts them behind those that were read can decide again and append after that position without
            another query. None where the store has not come across all of them: query again.
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
    """Returned for a member of ``append_chain`` that was decided on an earlier member's event that was not recorded.

    Also for one whose position is too far from the head to be judged in company, and for one that repeats the key of an
    earlier one that was refused. Nothing is recorded for it. Query, decide and append again.
    """


class HistoryDiverged(ConflictError):
    """Raised by ``append`` and reads: the position does not lie in this store's history.

    A failover to a standby that lacked the last events rewrites the history behind a reader's back.
    Drop every cached state, then query, decide and append again.
    """


class RetryableError(EventStoreError):
    """Nothing is wrong with the request; the same call may succeed later."""


class StoreUnavailable(RetryableError):
    """Raised by every operation: the database is down, read-only, full, or out of reach.

    It concerns every request alike. Stop sending, probe, and go on when the probe succeeds.
    """


class TransientStoreError(RetryableError):
    """Raised by every operation: the database refused this one request for a passing reason."""


class LockNotAcquired(TransientStoreError):
    """Raised by ``exclusive``, migrations and archiving: others had the lock all the time. Nothing was done."""


class HoldExpired(TransientStoreError):
    """Raised under ``exclusive``: the lock was held for too long, or its connection broke. Nothing is recorded."""


class TooFarBehind(TransientStoreError):
    """Raised under ``exclusive``: a read would begin too far below the head. Read that without the lock, first."""


class PositionNotReached(RetryableError):
    """Raised by ``query`` and ``read``: no server had reached ``min_position`` within the bound."""


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
    """Raised when an ``Event`` is made: its type, payload, metadata or time cannot be recorded."""


class InvalidFilter(InvalidRequest):
    """Raised when a predicate or filter is made: it could never be asked as it stands."""


class IdempotencyKeyReused(PermanentError):
    """Raised by ``append``: the key has a receipt for a different request.

    Attributes:
        key: The key in question.
    """

    def __init__(self, key: UUID) -> None:
        super().__init__(f"key {key} was used before, for a different request")
        self.key = key


class HistoryArchived(PermanentError):
    """Raised by reads, and by ``append`` from far behind: events that may be needed were moved out of the database.

    What is in the database cannot answer, and is not passed off as all there is. Restore the range, or ask for what
    lies above it.

    Attributes:
        first: The first number of the range; if it concerns several, of the first of them.
        last: Its last number.
        places: Of a question of several filters, which of them cannot be answered, from 0; empty if the whole question
            cannot.
        position: The number of a position that lies in the range, if that is the reason: nobody can tell whether it is
            of this history. What is read from the beginning, or from a later position, does without it.
    """

    def __init__(self, *, first: int, last: int, places: tuple[int, ...] = (), position: int | None = None) -> None:
        if position is None:
            reason = f"events {first:,} to {last:,} are archived, and may be among those that this needs"
            remedy = "restore them with `worker db restore-archive`, and try again"
        else:
            reason = f"events {first:,} to {last:,} are archived, and with them position {position:,}"
            remedy = "begin anew, or restore them with `worker db restore-archive`, and try again"
        super().__init__(f"{reason}: {remedy}")
        self.first = first
        self.last = last
        self.places = places
        self.position = position


class StoreMisconfigured(PermanentError):
    """Raised by every operation: wrong address, credentials, rights, settings or schema version.

    The message says what to change.
    """
