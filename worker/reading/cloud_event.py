"""CloudEvents: an event on record as the message that consumers in any language read.

Version 1.0, by the AMQP binding of the package ``cloudevents``. Source:
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.amqp import AMQPMessage, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from eventstore import RecordedEvent
from eventstore.jsontext import encode_object
from handlers import Domain, InvalidRelay, Relay
from handlers.kind import kind_of
from worker.amqp.ordered_sender import Outgoing
from worker.amqp.properties import Properties
from worker.message import CONTENT_TYPE

__all__ = ["message_of"]

_TIME = "cloudEvents_time"
# Extensions of the specification: what the event's metadata says, by their names.
_EXTENSIONS = {"traceparent": "traceparent", "correlation_id": "correlationid", "command_id": "causationid"}


class _ExactFormat(JSONFormat):
    """The package's JSON, written as everything else here is: each number with all of its digits."""

    def write(self, event: BaseCloudEvent) -> bytes:
        """Write all of an event as one JSON object."""
        attributes = {
            name: _written(value) if isinstance(value, datetime) else value
            for name, value in event.get_attributes().items()
        }
        return encode_object({**attributes, "data": event.get_data()}).encode()

    def write_data(self, data: Mapping[str, Any] | str | bytes | None, datacontenttype: str | None) -> bytes:  # noqa: ARG002  as the package has it
        """Write the payload as a JSON object."""
        if not isinstance(data, Mapping):
            raise TypeError("the payload of an event is an object")
        return encode_object(data).encode()


_FORMAT = _ExactFormat()


def message_of(event: RecordedEvent, domain: Domain, relay: Relay, source: str) -> Outgoing:
    """Return the message of an event, as it would be recorded today, routed by its type.

    Args:
        event: The event.
        domain: Whose it is.
        relay: Says how it is put into a message.
        source: What it names as its source; empty for ``/`` and the domain's name.

    Raises:
        InvalidRelay: The field of its subject holds what is none.
        UnknownEventType, UnreadableEvent, InvalidEvent: As ``Domain.as_of_today``.
        CloudEventValidationError: The source, or the subject, cannot be.
    """
    event_type, payload = domain.as_of_today(event)
    number = str(event.sequence_number)
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": number,
        "source": source or f"/{domain.name}",
        "type": event_type,
        "time": event.occurred_at,
        "datacontenttype": CONTENT_TYPE,
    }
    if (subject := _subject(relay, payload)) != "":
        attributes["subject"] = subject
    for name, extension in _EXTENSIONS.items():
        if isinstance(told := event.metadata.get(name), str) and told:
            attributes[extension] = told
    made = CloudEvent(attributes, dict(payload))
    message = to_binary(made, _FORMAT) if relay.mode == "binary" else to_structured(made, _FORMAT)
    headers = dict(message.application_properties)
    if _TIME in headers:
        # AMQP 0.9.1 knows seconds alone, and of a number nobody could tell that it is a time.
        headers[_TIME] = _written(event.occurred_at)
    return Outgoing(
        routing_key=event_type,
        body=message.application_data,
        properties=Properties(
            message_id=number,
            message_type=event_type,
            content_type=_content_type(message),
            timestamp=event.occurred_at,
            headers=headers,
        ),
    )


def _subject(relay: Relay, payload: Mapping[str, Any]) -> str:
    """Return the text of the field that says what an event is about; empty where it has none."""
    found = None if relay.subject is None else payload.get(relay.subject)
    if isinstance(found, Mapping | list):
        raise InvalidRelay(
            f"the field {relay.subject} is the subject of {relay.described}, and holds {kind_of(found)}; a subject is "
            "a text or a number"
        )
    # As JSON has them.
    return "" if found is None else str(found).lower() if isinstance(found, bool) else str(found)


def _content_type(message: AMQPMessage) -> str:
    return str(message.properties["content-type"])


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
