"""Subject keys: asks the store for keys, always its primary, and always after the events that need them were read."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from eventstore import EventStore, RecordedEvent, Subject
from handlers.domain import Domain
from handlers.erasure.master_key import DataKey, InvalidMasterKey, MasterKeys
from handlers.erasure.sealing import SEALED, key_ids
from handlers.errors import UnreadableEvent

__all__ = ["SubjectKeys"]


class SubjectKeys:
    """Makes and looks up keys. It keeps none: a key that is kept is one that may be used after it was deleted.

    Args:
        store: Where they are.
        master: What wraps them.
    """

    def __init__(self, store: EventStore, master: MasterKeys) -> None:
        self._store = store
        self._master = master

    @classmethod
    def of(cls, store: EventStore, domain: Domain, master: MasterKeys | None) -> "SubjectKeys | None":
        """Return the keys of a domain's subjects; None if it has no Sensitive fields.

        Raises:
            InvalidMasterKey: It has, and no master key is given: states without their values would be taken for whole.
        """
        if not domain.sensitive:
            return None
        if master is None:
            raise InvalidMasterKey(
                f"the domain {domain.name} has events with Sensitive fields, and no master key is given that the keys "
                "of subjects are wrapped by"
            )
        return cls(store, master)

    async def for_sealing(self, subjects: Iterable[Subject]) -> dict[Subject, DataKey]:
        """Return the keys of subjects, made where there are none. One that is forgotten at this moment is missing.

        Raises:
            StoreMisconfigured: One is wrapped by another master key.
            EventStoreError: As ``EventStore.make_subject_keys``.
        """
        proposed = [self._master.make(subject) for subject in dict.fromkeys(subjects)]
        found = await self._store.make_subject_keys(proposed) if proposed else []
        return {key.subject: self._master.unwrap(key) for key in found}

    async def for_opening(
        self, events: Iterable[RecordedEvent], known: Mapping[UUID, DataKey] | None = None
    ) -> dict[UUID, DataKey]:
        """Return the keys of what is sealed in events that were read. One that is missing was deleted.

        Args:
            events: The events. One that is damaged is passed over: opening it tells.
            known: Keys that were looked up after these events were recorded.

        Raises:
            StoreMisconfigured: One is wrapped by another master key.
            EventStoreError: As ``EventStore.subject_keys``.
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
