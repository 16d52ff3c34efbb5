"""The folding: what was read of parts becomes their states, with the sealed values that can still be opened."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from eventstore import START, SUBJECT_FORGOTTEN, EventStore, EventStream, RecordedEvent, Subject
from handlers.contained import Running
from handlers.domain import Domain
from handlers.erasure.forgetting import Sealer, subject_of
from handlers.erasure.master_key import DataKey, MasterKeys
from handlers.erasure.sealing import SEALED, opened
from handlers.erasure.subject_keys import SubjectKeys
from handlers.kept_states import KeptState
from handlers.part import Part

__all__ = ["NO_KEYS", "Folding"]

NO_KEYS: Mapping[UUID, DataKey] = MappingProxyType({})


class Folding:
    """Folds the events of one domain's parts.

    Args:
        store: Where the keys of subjects are.
        domain: Whose parts they are.
        master: What those keys are wrapped by, if the domain has Sensitive fields.

    Raises:
        InvalidMasterKey: The domain has Sensitive fields, and there is none.
    """

    def __init__(self, store: EventStore, domain: Domain, master: MasterKeys | None) -> None:
        self._domain = domain
        self._keys = SubjectKeys.of(store, domain, master)

    def begun(self, part: Part[Any], running: Running) -> KeptState:
        """Return a part's state before any event.

        Args:
            part: The part.
            running: Entered whenever the domain's own code runs.

        Raises:
            Exception: Whatever the view raises.
        """
        with running():
            return KeptState(state=part.initial())

    def folded(
        self,
        part: Part[Any],
        kept: KeptState,
        events: Sequence[RecordedEvent],
        running: Running,
        keys: Mapping[UUID, DataKey],
    ) -> tuple[KeptState, RecordedEvent | None]:
        """Return a part's state after what was read by its filter, and the last of its events; None if it has none.

        Args:
            part: The part.
            kept: Its state before.
            events: What was read, also of what forgets those whose values the state may show.
            running: Entered whenever the domain's own code runs.
            keys: As ``keys_of`` returned them for these events.

        Raises:
            UnknownEventType, UnreadableEvent: As ``Domain.recorded``.
            Exception: Whatever the view raises.
        """
        if self._keys is not None:
            # What was read together with the part's own events has told what it had to.
            own = (event for event in events if event.type != SUBJECT_FORGOTTEN or part.filter.holds(event))
            events = [opened(event, keys)[0] if SEALED in event.metadata else event for event in own]
        if not events:
            return kept, None
        with running():
            state = self._domain.fold(part, kept.state, events)
        return replace(kept, state=state, events=kept.events + len(events)), events[-1]

    def may_show_forgotten(self, part: Part[Any], kept: KeptState) -> bool:
        """Whether a state may show values of subjects that are forgotten in what is new of its part."""
        return kept.position != START and self._domain.sensitive.are_read_by(part)

    async def keys_of(
        self, events: Iterable[RecordedEvent], known: Mapping[UUID, DataKey] = NO_KEYS
    ) -> Mapping[UUID, DataKey]:
        """Return the keys of what is sealed in events, to be asked for after these were read.

        Whoever was forgotten before that has no key any more.

        Args:
            events: The events.
            known: Keys that were looked up after these events were recorded.

        Raises:
            EventStoreError: As ``SubjectKeys.for_opening``.
        """
        return known if self._keys is None else await self._keys.for_opening(events, known)

    async def sealers(
        self, before: Mapping[Part[Any], KeptState], streams: Sequence[EventStream]
    ) -> dict[Part[Any], Sealer]:
        """Return the states of those parts that are sealers: their keys, where one is not known, or was before.

        Args:
            before: What was known of parts.
            streams: What was read of each since.

        Raises:
            EventStoreError: As ``SubjectKeys.for_sealing``.
        """
        if self._keys is None:
            return {}
        wanted: dict[Subject, Part[Any]] = {}
        for (part, kept), stream in zip(before.items(), streams, strict=True):
            subject = subject_of(part)
            if subject is not None and (stream.events or kept.state.key is None):
                wanted[subject] = part
        found = await self._keys.for_sealing(wanted) if wanted else {}
        return {wanted[subject]: Sealer(key=key) for subject, key in found.items()}
