"""All readers: the registered ones, and those whose contract is cancelled. No command reads these views."""

from eventstore import Filter
from handlers.library.events import ReaderContractCanceled, ReaderRegistered
from handlers.model import DomainEvent
from handlers.persistent import PersistentMap, PersistentSet
from handlers.view import View

__all__ = ["cancelled_contracts", "registered_readers"]

Readers = PersistentMap[str, str]
"""The name of each registered reader, by the reader's id."""
Cancelled = PersistentSet[str]
"""The ids of the readers whose contract was cancelled, and who have not registered again."""


def _events() -> Filter:
    return Filter.matching().any_event_type_of(ReaderRegistered.__name__, ReaderContractCanceled.__name__)


def _registered(readers: Readers, event: DomainEvent) -> Readers:
    match event:
        case ReaderRegistered(reader_id=reader_id, name=name):
            return readers.insert(reader_id, name)
        case ReaderContractCanceled(reader_id=reader_id):
            return readers.discard(reader_id)
        case _:
            return readers


def _cancelled(readers: Cancelled, event: DomainEvent) -> Cancelled:
    match event:
        case ReaderContractCanceled(reader_id=reader_id):
            return readers.insert(reader_id)
        case ReaderRegistered(reader_id=reader_id):
            return readers.discard(reader_id)
        case _:
            return readers


registered_readers = View(
    name="registered-readers", events=_events, initial=Readers, evolve=_registered, stored_every=20_000
)
cancelled_contracts = View(
    name="cancelled-contracts", events=_events, initial=Cancelled, evolve=_cancelled, stored_every=20_000
)
