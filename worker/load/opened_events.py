"""Opened events: the log's events with their sealed values, as far as their keys still exist."""

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
    """An event.

    Attributes:
        event: With its values.
        lacks_values: Whether the subject of one was forgotten: it has its replacement.
    """

    event: RecordedEvent
    lacks_values: bool = False


class OpenedEvents:
    """Opens what it is given. The log has come to its end: each key is looked up once.

    Args:
        store: Where the keys are.
        domains: Whose events.
        master: What the keys are wrapped by, if one of the domains has Sensitive fields.

    Raises:
        InvalidMasterKey: One has, and there is none.
    """

    def __init__(self, store: EventStore, domains: Iterable[Domain], master: MasterKeys | None) -> None:
        found = [SubjectKeys.of(store, domain, master) for domain in domains]
        self._keys = next((keys for keys in found if keys is not None), None)
        self._known: dict[UUID, DataKey] = {}

    async def open(self, event: RecordedEvent) -> Opened:
        """Return an event with its values.

        Raises:
            UnreadableEvent: A value is not what was sealed.
            EventStoreError: The store could not be read.
        """
        if self._keys is None or SEALED not in event.metadata:
            return Opened(event)
        self._known = await self._keys.for_opening([event], self._known)
        whole, has_all = opened(event, self._known)
        return Opened(whole, not has_all)
