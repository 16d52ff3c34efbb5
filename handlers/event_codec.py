"""The event codec: converts a domain's events for the store, and recorded events for the domain."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from eventstore import Event, RecordedEvent
from handlers.complaint import complaint_of, raised_by_check
from handlers.errors import UnknownEventType, UnreadableEvent
from handlers.event_versions import EVENT_VERSION, EventVersions
from handlers.model import DomainEvent

__all__ = ["EventCodec"]


class EventCodec:
    """Converts a domain's events to and from their recorded form.

    Args:
        domain: The domain's name.
        events: The domain's event classes.
        versions: The versions of these events.

    Attributes:
        models: The event classes, by every present and former name.
    """

    def __init__(self, domain: str, events: Iterable[type[DomainEvent]], versions: EventVersions) -> None:
        self._domain = domain
        self._versions = versions
        models = {event.__name__: event for event in events}
        self.models = models | {name: models[lineage.name] for name, lineage in versions.lineages.items()}

    def recorded(self, event: RecordedEvent) -> DomainEvent:
        """Convert a recorded event into the domain's class.

        Raises:
            UnknownEventType: The domain has no event of this type.
            UnreadableEvent: A field is missing or invalid, a check of the model failed, or an upcaster failed. The
                message names the event and the field, or the upcaster's line.
        """
        model = self.models.get(event.type)
        if model is None:
            raise UnknownEventType(
                f"event {event.sequence_number} has the type {event.type}, "
                f"which the domain {self._domain} does not know"
            )
        payload = event.payload
        if event.type in self._versions.lineages or EVENT_VERSION in event.metadata:
            payload = self._versions.payload(event)
        try:
            return model.model_validate(payload, by_alias=True, by_name=False)
        except ValidationError as error:
            fields = tuple(".".join(map(str, problem["loc"])) for problem in error.errors(include_context=False))
            raise UnreadableEvent.at(event.sequence_number, event.type, complaint_of(error), fields) from None
        except KeyboardInterrupt:
            raise
        except BaseException as bug:  # a validator of the domain may raise anything
            raise UnreadableEvent.at(event.sequence_number, event.type, raised_by_check(model, bug)) from bug

    def as_of_today(self, event: RecordedEvent) -> tuple[str, Mapping[str, Any]]:
        """Return a recorded event's type and payload in its newest version, as they would be recorded now.

        Raises:
            UnknownEventType, UnreadableEvent: The event has an unknown type or cannot be read, as in ``recorded``.
            InvalidEvent: The store cannot record the converted event, as in ``to_record``.
        """
        if not self._versions.is_older(event):
            return event.type, event.payload
        again = self.to_record(self.recorded(event), {}).recorded(event.sequence_number, event.token)
        return again.type, again.payload

    def to_record(self, fact: DomainEvent, metadata: Mapping[str, Any]) -> Event:
        """Convert a domain event for the store.

        Args:
            fact: The domain event.
            metadata: The metadata of the recording, such as its writer and trace.

        Raises:
            UnknownEventType: The domain does not list the event, and so could not read it back.
            InvalidEvent: The store cannot record a value of the event.
        """
        name = type(fact).__name__
        if self.models.get(name) is not type(fact):
            raise UnknownEventType(
                f"the domain {self._domain} does not list the event {name} that it is to record; add it to its events"
            )
        if name in self._versions.lineages:
            metadata = {**metadata, EVENT_VERSION: self._versions.newest(name)}
        return Event(type=name, payload=fact.model_dump(by_alias=True), metadata=metadata)
