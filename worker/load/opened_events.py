"""Opened events: the log's events with their sealed values decrypted, if their keys still exist."""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from eventstore import EventStore, RecordedEvent
from handlers.domain import Domain
from handlers.erasure.master_key import DataKey, MasterKeys
from handlers.erasure.sealing import SEALED, opened
from handlers.erasure.subject_keys import SubjectKeys

__all__ = ["Opened", "OpenedEvents"]


class Opened(msgspec.Struct, frozen=True):
    """An event with its values.

    Attributes:
        event: The event, with decrypted values.
        lacks_values: Whether a value's subject was forgotten, so that it has the replacement.
    """

    event: RecordedEvent
    lacks_values: bool = False


class OpenedEvents:
    """Decrypts events. The log must not grow any more: each key is looked up once.

    Args:
        store: The event store with the keys.
        domains: The domains of the events.
        master: The keys that encrypt the subjects' keys; needed if a domain has Sensitive fields.

    Raises:
        InvalidMasterKey: A domain has Sensitive fields, and there is no master key.
    """

    def __init__(self, store: EventStore, domains: Iterable[Domain], master: MasterKeys | None) -> None:
        found = [SubjectKeys.of(store, domain, master) for domain in domains]
        self._keys = next((keys for keys in found if keys is not None), None)
        self._known: dict[UUID, DataKey] = {}

    async def open(self, event: RecordedEvent) -> Opened:
        """Return an event with its values.

        Raises:
            UnreadableEvent: A sealed value cannot be decrypted.
            EventStoreError: The store could not be read.
        """
        if self._keys is None or SEALED not in event.metadata:
            return Opened(event)
        self._known = await self._keys.for_opening([event], self._known)
        whole, has_all = opened(event, self._known)
        return Opened(whole, not has_all)
