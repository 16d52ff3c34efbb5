"""A dynamic event stream store: events without fixed streams, appended only if nothing that matters has changed.

The public names of the package. Engines: ``MemoryEventStore`` here, ``eventstore.postgres.PostgresEventStore``.
"""

from typing import TYPE_CHECKING

from eventstore.append import LARGEST_APPEND, LONGEST_CHAIN, Append
from eventstore.boundary import Boundary, BoundaryPart, OwnRange
from eventstore.errors import (
    ChainBroken,
    ConcurrencyConflict,
    ConflictError,
    EventStoreError,
    HistoryArchived,
    HistoryDiverged,
    HoldExpired,
    IdempotencyKeyReused,
    InvalidEvent,
    InvalidFilter,
    InvalidRequest,
    LockNotAcquired,
    OutcomeUnknown,
    PermanentError,
    PositionNotReached,
    RetryableError,
    StoreMisconfigured,
    StoreUnavailable,
    TooFarBehind,
    TransientStoreError,
)
from eventstore.events import Event, RecordedEvent
from eventstore.filter import Filter
from eventstore.filter_item import FilterItem, FilterShape
from eventstore.held import LONGEST_HELD_READ, Held
from eventstore.position import START, Position
from eventstore.predicate import P, Predicate, Scalar
from eventstore.receipt import ACCEPTED, Outcome, OutcomeKind, Receipt
from eventstore.store import EventStore
from eventstore.stored_state import StateKey, StoredState
from eventstore.stream import Consistency, EventStream, ServerAddress, Window
from eventstore.subject_key import SUBJECT_FORGOTTEN, Forgetting, Subject, SubjectKey, forgetting_of, subject_forgotten

if TYPE_CHECKING:
    from eventstore.memory import MemoryEventStore

__all__ = [
    "ACCEPTED",
    "LARGEST_APPEND",
    "LONGEST_CHAIN",
    "LONGEST_HELD_READ",
    "START",
    "SUBJECT_FORGOTTEN",
    "Append",
    "Boundary",
    "BoundaryPart",
    "ChainBroken",
    "ConcurrencyConflict",
    "ConflictError",
    "Consistency",
    "Event",
    "EventStore",
    "EventStoreError",
    "EventStream",
    "Filter",
    "FilterItem",
    "FilterShape",
    "Forgetting",
    "Held",
    "HistoryArchived",
    "HistoryDiverged",
    "HoldExpired",
    "IdempotencyKeyReused",
    "InvalidEvent",
    "InvalidFilter",
    "InvalidRequest",
    "LockNotAcquired",
    "MemoryEventStore",
    "Outcome",
    "OutcomeKind",
    "OutcomeUnknown",
    "OwnRange",
    "P",
    "PermanentError",
    "Position",
    "PositionNotReached",
    "Predicate",
    "Receipt",
    "RecordedEvent",
    "RetryableError",
    "Scalar",
    "ServerAddress",
    "StateKey",
    "StoreMisconfigured",
    "StoreUnavailable",
    "StoredState",
    "Subject",
    "SubjectKey",
    "TooFarBehind",
    "TransientStoreError",
    "Window",
    "forgetting_of",
    "subject_forgotten",
]

# Hidden from type checkers: with a module-level ``__getattr__`` they would accept every name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import the in-memory engine on first use: programs that use another engine do not pay for it."""
        if name != "MemoryEventStore":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from eventstore.memory import MemoryEventStore  # noqa: PLC0415  importing it later is the purpose

        globals()[name] = MemoryEventStore
        return MemoryEventStore
