"""Subject keys: what the personal fields of events are sealed with, one key a person. Without it, nobody reads them.

The store keeps each key wrapped, as whoever made it handed it in, and knows neither what wraps it nor what it seals.
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
"""The type of the event that records that a subject's key was deleted."""

_FIELD, _VALUE = "SubjectField", "Subject"
_LONGEST = 1000


class Subject(NamedTuple):
    """Whom a key belongs to.

    Attributes:
        field: The field of events that names such a subject, by its JSON name, such as ``ReaderID``.
        value: What it holds there, as a text.
    """

    field: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}={self.value}"


class SubjectKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key, wrapped.

    Attributes:
        id: What sealed values name it by. After a subject was forgotten, its next key has another one.
        subject: Whose it is.
        wrapped: The key, in whatever form its maker gave it: 1 to 1,000 bytes.

    Raises:
        InvalidRequest: A part cannot be stored.
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
    """What forgetting a subject has done.

    Attributes:
        number: The event that records it; None if there was no key, and nothing was recorded.
        states: How many stored states were deleted: those that were folded from events with sealed fields.
        before: The event that recorded it the last time before, if there is one.
    """

    number: int | None
    states: int = 0
    before: int | None = None


def subject_forgotten(subject: Subject, metadata: dict[str, Any] | None = None) -> Event:
    """Return the event that records that a subject's key was deleted."""
    payload = {_FIELD: subject.field, _VALUE: subject.value}
    return Event(type=SUBJECT_FORGOTTEN, payload=payload, metadata=metadata or {})


def forgetting_of(subject: Subject | None) -> FilterItem:
    """Return the alternative of a filter that finds these events: of one subject, or of all."""
    asked = Filter.matching().any_event_type_of(SUBJECT_FORGOTTEN)
    if subject is not None:
        asked = asked.and_all_predicates_of(P(_FIELD, subject.field), P(_VALUE, subject.value))  # type: ignore[assignment]  # both are filters
    return asked.items[0]
