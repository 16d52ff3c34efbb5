"""The event codec: a domain's events as the store records them, and recorded events as the domain knows them."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from eventstore import Event, RecordedEvent
from handlers.complaint import complaint_of, raised_by_check
from handlers.errors import UnknownEventType, UnreadableEvent
from handlers.model import DomainEvent

__all__ = ["EventCodec"]


class EventCodec:
    """Writes and reads a domain's events.

    Args:
        domain: The domain's name.
        events: Its events.
    """

    def __init__(self, domain: str, events: Iterable[type[DomainEvent]]) -> None:
        self._domain = domain
        self._models = {event.__name__: event for event in events}

    def recorded(self, event: RecordedEvent) -> DomainEvent:
        """Read a recorded event.

        Raises:
            UnknownEventType: The domain has no event of this type.
            UnreadableEvent: A field is missing or wrong, or a check of the model's failed in whatever way; the message
                names event and field.
        """
        model = self._models.get(event.type)
        if model is None:
            raise UnknownEventType(
                f"event {event.sequence_number} has the type {event.type}, "
                f"which the domain {self._domain} does not know"
            )
        try:
            return model.model_validate(event.payload, by_alias=True, by_name=False)
        except ValidationError as error:
            raise UnreadableEvent(
                f"event {event.sequence_number} ({event.type}) cannot be read: {complaint_of(error)}"
            ) from None
        except KeyboardInterrupt:
            raise
        except BaseException as bug:  # whatever a validator of somebody's raises
            raise UnreadableEvent(
                f"event {event.sequence_number} ({event.type}) cannot be read: {raised_by_check(model, bug)}"
            ) from bug

    def to_record(self, fact: DomainEvent, metadata: Mapping[str, Any]) -> Event:
        """Return an event as the store records it.

        Args:
            fact: The event.
            metadata: Who recorded it, in which trace.

        Raises:
            UnknownEventType: The domain has no such event, and so could not read it back.
            InvalidEvent: The store cannot record a value of it.
        """
        name = type(fact).__name__
        if self._models.get(name) is not type(fact):
            raise UnknownEventType(
                f"the domain {self._domain} does not list the event {name} that it is to record; add it to its events"
            )
        return Event(type=name, payload=fact.model_dump(by_alias=True), metadata=metadata)
