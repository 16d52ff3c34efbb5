"""Sealing: personal values leave an event's payload for its metadata, sealed; the payload has their replacements.

So whoever reads the payload alone has a valid event and no personal value: another program, an index, an upcaster after
the key is gone. Opening puts the values back; of what cannot be opened any more, the payload stands.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from eventstore import Event, RecordedEvent, Subject
from eventstore.jsontext import canonical, decode_object, encode_object
from handlers.erasure.master_key import DataKey
from handlers.erasure.sensitive import SensitiveField
from handlers.errors import UnreadableEvent

__all__ = ["SEALED", "key_ids", "opened", "sealed"]

SEALED = "sealed"
"""The field of an event's metadata that holds its sealed values, by the JSON names of their fields."""


def sealed(event: Event, fields: Iterable[SensitiveField], keys: Mapping[Subject, DataKey]) -> Event:
    """Return an event with its personal values sealed.

    Args:
        event: The event.
        fields: Its marked fields.
        keys: The key of each subject that they belong to.

    Raises:
        InvalidEvent: A field belongs to nobody.
    """
    payload = decode_object(event.payload_text)
    values = {}
    for field in fields:
        if field.name in payload:
            key = keys[field.subject_of(payload)]
            text = encode_object({"value": payload[field.name]}).encode()
            value = key.seal(text, _bound_to(event.type, field.name, key.id))
            values[field.name] = {"key": str(key.id), "value": base64.b64encode(value).decode()}
    replaced = {field.name: field.replacement for field in fields if field.name in payload}
    return Event(
        type=event.type,
        payload=payload | replaced,
        metadata={**event.metadata, SEALED: values},
        occurred_at=event.occurred_at,
    )


def key_ids(event: RecordedEvent) -> list[UUID]:
    """Return the ids of the keys that an event's values are sealed by.

    Raises:
        UnreadableEvent: Its metadata says nothing that can be sealed values.
    """
    return [key_id for _, key_id, _ in _values(event)]


def opened(event: RecordedEvent, keys: Mapping[UUID, DataKey]) -> tuple[RecordedEvent, bool]:
    """Return an event with its sealed values in their places, and whether all of them are there.

    Args:
        event: The event.
        keys: Every key of ``key_ids`` that there is.

    Raises:
        UnreadableEvent: A value is not what was sealed.
    """
    values: dict[str, Any] = {}
    is_whole = True
    for name, key_id, value in _values(event):
        key = keys.get(key_id)
        if key is None:
            is_whole = False
            continue
        try:
            values[name] = decode_object(key.open(value, _bound_to(event.type, name, key_id)))["value"]
        except ValueError:
            raise _unreadable(event, f"the sealed value of {name} is not what was sealed") from None
    return replace(event, payload=event.payload | values), is_whole


def _values(event: RecordedEvent) -> list[tuple[str, UUID, bytes]]:
    found = event.metadata.get(SEALED)
    if found is None:
        return []
    try:
        return [
            (name, UUID(value["key"]), base64.b64decode(value["value"], validate=True)) for name, value in found.items()
        ]
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error):
        raise _unreadable(
            event, f"the field {SEALED} of its metadata holds something else than sealed values"
        ) from None


def _unreadable(event: RecordedEvent, why: str) -> UnreadableEvent:
    return UnreadableEvent.at(event.sequence_number, event.type, why)


def _bound_to(event_type: str, name: str, key_id: UUID) -> bytes:
    # A value that is moved to another event type or field cannot be opened there.
    return canonical([event_type, name, str(key_id)])
