"""Sealing: moves personal values from an event's payload to its metadata, sealed; the payload gets replacements.

So any reader of the payload alone has a valid event without personal values: another program, an index, or an upcaster
after the key is deleted. Opening puts the values back; where the key is gone, the replacement stays.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from eventstore import Event, RecordedEvent, Subject
from eventstore.jsontext import canonical, decode_object, encode_object, read_back
from handlers.erasure.master_key import DataKey
from handlers.erasure.sensitive import SensitiveField
from handlers.errors import UnreadableEvent

__all__ = ["SEALED", "key_ids", "opened", "sealed"]

SEALED = "sealed"
"""The metadata field with an event's sealed values, by the JSON names of their fields."""


def sealed(event: Event, fields: Iterable[SensitiveField], keys: Mapping[Subject, DataKey]) -> Event:
    """Return an event with its personal values sealed.

    Args:
        event: The event.
        fields: The marked fields of the event.
        keys: The key of each subject that a value belongs to.

    Raises:
        InvalidEvent: A field names no subject.
    """
    # As it is folded before it is recorded.
    payload = read_back(event.payload_text)
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
    """Return the ids of the keys that seal an event's values.

    Raises:
        UnreadableEvent: The metadata field holds no valid sealed values.
    """
    return [key_id for _, key_id, _ in _values(event)]


def opened(event: RecordedEvent, keys: Mapping[UUID, DataKey]) -> tuple[RecordedEvent, bool]:
    """Return an event with its sealed values put back, and whether all of them could be opened.

    Args:
        event: The event.
        keys: The keys that still exist, by their ids from ``key_ids``.

    Raises:
        UnreadableEvent: A sealed value was changed, or moved from another event type or field.
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
