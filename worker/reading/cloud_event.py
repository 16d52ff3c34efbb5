"""CloudEvents: a recorded event as a message that consumers in any language can read.

Version 1.0, with the AMQP binding of the package ``cloudevents``. Source:
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
# Extensions of the specification, by the key of the event's metadata.
_EXTENSIONS = {"traceparent": "traceparent", "correlation_id": "correlationid", "command_id": "causationid"}


class _ExactFormat(JSONFormat):
    """The package's JSON format, with numbers written as everywhere here: with all of their digits."""

    def write(self, event: BaseCloudEvent) -> bytes:
        """Encode the whole event as one JSON object."""
        attributes = {
            name: _written(value) if isinstance(value, datetime) else value
            for name, value in event.get_attributes().items()
        }
        return encode_object({**attributes, "data": event.get_data()}).encode()

    def write_data(self, data: Mapping[str, Any] | str | bytes | None, datacontenttype: str | None) -> bytes:  # noqa: ARG002  the package's signature
        """Encode the payload as a JSON object."""
        if not isinstance(data, Mapping):
            raise TypeError("the payload of an event is an object")
        return encode_object(data).encode()


_FORMAT = _ExactFormat()


def message_of(event: RecordedEvent, domain: Domain, relay: Relay, source: str) -> Outgoing:
    """Return the message of an event, in today's version, with its type as routing key.

    Args:
        event: The event.
        domain: The domain of the event.
        relay: The relay: it says which field is the subject, among others.
        source: The source that the message names; empty for ``/`` and the domain's name.

    Raises:
        InvalidRelay: The field for the subject contains an object or a list.
        UnknownEventType, UnreadableEvent, InvalidEvent: The event cannot be converted: as in ``Domain.as_of_today``.
        CloudEventValidationError: The source or the subject is not valid.
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
        # AMQP 0.9.1 has timestamps in seconds only, and a number would not be recognised as a time.
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
    """Return the text of the field that is the event's subject; empty if there is none."""
    found = None if relay.subject is None else payload.get(relay.subject)
    if isinstance(found, Mapping | list):
        raise InvalidRelay(
            f"the field {relay.subject} is the subject of {relay.described}, and holds {kind_of(found)}; a subject is "
            "a text or a number"
        )
    # As in JSON.
    return "" if found is None else str(found).lower() if isinstance(found, bool) else str(found)


def _content_type(message: AMQPMessage) -> str:
    return str(message.properties["content-type"])


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
