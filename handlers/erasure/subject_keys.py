"""Subject keys: looks keys up on the store's primary, always after the events that need them were read."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from eventstore import EventStore, RecordedEvent, Subject
from handlers.domain import Domain
from handlers.erasure.master_key import DataKey, InvalidMasterKey, MasterKeys
from handlers.erasure.sealing import SEALED, key_ids
from handlers.errors import UnreadableEvent

__all__ = ["SubjectKeys"]


class SubjectKeys:
    """Creates and looks up keys. It caches none: a cached key could be used after it was deleted.

    Args:
        store: The store that has the keys.
        master: The master keys that wrap them.
    """

    def __init__(self, store: EventStore, master: MasterKeys) -> None:
        self._store = store
        self._master = master

    @classmethod
    def of(cls, store: EventStore, domain: Domain, master: MasterKeys | None) -> "SubjectKeys | None":
        """Return the keys of a domain's subjects; None if it has no Sensitive fields.

        Raises:
            InvalidMasterKey: The domain has Sensitive fields, and ``master`` is None: states without their values would
                be taken for complete.
        """
        if not domain.sensitive:
            return None
        if master is None:
            raise InvalidMasterKey(
                f"the domain {domain.name} has events with Sensitive fields, and no master key is given to wrap the "
                "keys of subjects"
            )
        return cls(store, master)

    async def for_sealing(self, subjects: Iterable[Subject]) -> dict[Subject, DataKey]:
        """Return the keys of subjects, creating missing ones. That of a subject forgotten at this moment is missing.

        Raises:
            StoreMisconfigured: A key was wrapped by another master key.
            EventStoreError: The keys could not be created or read, as in ``EventStore.make_subject_keys``.
        """
        proposed = [self._master.make(subject) for subject in dict.fromkeys(subjects)]
        found = await self._store.make_subject_keys(proposed) if proposed else []
        return {key.subject: self._master.unwrap(key) for key in found}

    async def for_opening(
        self, events: Iterable[RecordedEvent], known: Mapping[UUID, DataKey] | None = None
    ) -> dict[UUID, DataKey]:
        """Return the keys of sealed values in events that were read. A key that is missing was deleted.

        Args:
            events: The events. A damaged one is skipped: opening it raises the error.
            known: Keys that were looked up after these events were recorded; by default none.

        Raises:
            StoreMisconfigured: A key was wrapped by another master key.
            EventStoreError: The keys could not be read, as in ``EventStore.subject_keys``.
        """
        wanted: dict[UUID, None] = {}
        for event in events:
            if SEALED in event.metadata:
                try:
                    wanted.update(dict.fromkeys(key_ids(event)))
                except UnreadableEvent:
                    continue
        missing = [key_id for key_id in wanted if known is None or key_id not in known]
        found = await self._store.subject_keys(missing) if missing else {}
        return {**(known or {}), **{key_id: self._master.unwrap(key) for key_id, key in found.items()}}
