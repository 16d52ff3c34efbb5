"""A dynamic event stream store: events without fixed streams, appended only if nothing that matters has changed.

The public names of the package. Engines: ``MemoryEventStore`` here, ``eventstore.postgres.PostgresEventStore``.
"""

from eventstore.boundary import Boundary, BoundaryPart, OwnRange
from eventstore.errors import (
    ChainBroken,
    ConcurrencyConflict,
    ConflictError,
    EventStoreError,
    HistoryDiverged,
    IdempotencyKeyReused,
    InvalidEvent,
    InvalidFilter,
    InvalidRequest,
    OutcomeUnknown,
    PermanentError,
    PositionNotReached,
    RetryableError,
    StoreMisconfigured,
    StoreUnavailable,
    TransientStoreError,
)
from eventstore.events import Event, RecordedEvent
from eventstore.filter import Filter, FilterItem, FilterShape
from eventstore.memory import MemoryEventStore
from eventstore.position import START, Position
from eventstore.predicate import P, Predicate, Scalar
from eventstore.receipt import ACCEPTED, Outcome, OutcomeKind, Receipt
from eventstore.store import LONGEST_CHAIN, Append, Consistency, EventStore, EventStream
from eventstore.stored_state import StateKey, StoredState

__all__ = [
    "ACCEPTED",
    "LONGEST_CHAIN",
    "START",
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
    "HistoryDiverged",
    "IdempotencyKeyReused",
    "InvalidEvent",
    "InvalidFilter",
    "InvalidRequest",
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
    "StateKey",
    "StoreMisconfigured",
    "StoreUnavailable",
    "StoredState",
    "TransientStoreError",
]
