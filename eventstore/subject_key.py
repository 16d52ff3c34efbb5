"""Subject keys: one key per person, which seals the personal fields of events. Without it they are unreadable.

The store keeps each key wrapped, as the caller handed it in. It knows neither the key that wraps it nor the values that
it seals.
"""

from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from eventstore.errors import InvalidRequest
from eventstore.events import Event
from eventstore.filter import Filter
from eventstore.filter_item import FilterItem
from eventstore.predicate import P

__all__ = ["SUBJECT_FORGOTTEN", "Forgetting", "Subject", "SubjectKey", "forgetting_of", "subject_forgotten"]

SUBJECT_FORGOTTEN = "SubjectForgotten"
"""The type of the event that records the deletion of a subject's key."""

_FIELD, _VALUE = "SubjectField", "Subject"
_LONGEST = 1000


class Subject(NamedTuple):
    """The person or entity that a key belongs to.

    Attributes:
        field: The JSON name of the event field that identifies such subjects, such as ``ReaderID``.
        value: The value of that field, as a string.
    """

    field: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}={self.value}"


class SubjectKey(msgspec.Struct, frozen=True, kw_only=True):
    """A subject's key, wrapped.

    Attributes:
        id: The id by which sealed values name the key. After a subject is forgotten, its next key has another id.
        subject: The subject that the key belongs to.
        wrapped: The wrapped key, as the caller encoded it: 1 to 1,000 bytes.

    Raises:
        InvalidRequest: A text of the subject is not 1 to 1,000 characters without NUL, or the wrapped key is not 1 to
            1,000 bytes.
    """

    id: UUID
    subject: Subject
    wrapped: bytes

    def __post_init__(self) -> None:
        for text in self.subject:
            if not isinstance(text, str) or not 0 < len(text) <= _LONGEST or "\x00" in text:
                raise InvalidRequest(f"a subject is two texts of 1 to {_LONGEST} characters without NUL")
        if not 0 < len(self.wrapped) <= _LONGEST:
            raise InvalidRequest(f"a wrapped key has 1 to {_LONGEST} bytes")


class Forgetting(msgspec.Struct, frozen=True, kw_only=True):
    """The result of forgetting a subject.

    Attributes:
        number: The sequence number of the event that records it; None if the subject had no key, so that nothing was
            recorded.
        states: The number of stored states that were deleted: those folded from events with sealed fields.
        before: The sequence number of the event that last recorded a forgetting of this subject before; None if there
            is none.
    """

    number: int | None
    states: int = 0
    before: int | None = None


def subject_forgotten(subject: Subject, metadata: dict[str, Any] | None = None) -> Event:
    """Return the event that records the deletion of a subject's key."""
    payload = {_FIELD: subject.field, _VALUE: subject.value}
    return Event(type=SUBJECT_FORGOTTEN, payload=payload, metadata=metadata or {})


def forgetting_of(subject: Subject | None) -> FilterItem:
    """Return the filter item that matches the events of deleted keys, of one subject or, for None, of all."""
    asked = Filter.matching().any_event_type_of(SUBJECT_FORGOTTEN)
    if subject is not None:
        asked = asked.and_all_predicates_of(P(_FIELD, subject.field), P(_VALUE, subject.value))  # type: ignore[assignment]  # both are filters
    return asked.items[0]
