"""Events: facts to record, and recorded facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, cast

import msgspec

from eventstore.errors import InvalidEvent
from eventstore.jsontext import Unstorable, decode_object, encode_object, read_back
from eventstore.position import Position

__all__ = ["Event", "RecordedEvent", "UnreadEvent"]

_MAX_TYPE_LENGTH = 200
# asyncpg maps these two to and from PostgreSQL's infinities, which lie outside every bound.
_ENDS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact to be recorded. Checked on construction, so that an invalid event never reaches an engine.

    Attributes:
        type: The event type, 1 to 200 characters.
        payload: A JSON object. Predicates look at its top-level fields. Fractions come back as ``Decimal``.
        metadata: A JSON object about the recording, such as its writer, reason and trace; by default empty. Predicates
            do not see it.
        occurred_at: When the event happened, to the microsecond, with a time zone; by default now. ``datetime.min`` and
            ``datetime.max`` are refused: PostgreSQL would store them as infinities.

    Raises:
        InvalidEvent: A part cannot be recorded; the message names the part and the reason.
    """

    type: str
    payload: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    occurred_at: datetime = field(default_factory=partial(datetime.now, UTC))
    payload_text: str = field(init=False, repr=False, compare=False)
    metadata_text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_type(self.type)
        if self.occurred_at.tzinfo is not UTC:
            if self.occurred_at.tzinfo is None:
                raise InvalidEvent(f"occurred_at of {self.type} needs a time zone")
            try:
                object.__setattr__(self, "occurred_at", self.occurred_at.astimezone(UTC))
            except OverflowError:
                raise InvalidEvent(f"occurred_at of {self.type} lies outside the calendar") from None
        if self.occurred_at in _ENDS:
            raise InvalidEvent(
                f"occurred_at of {self.type} is an end of the calendar, which PostgreSQL takes for an infinity: "
                "say when it happened"
            )
        part = "payload"
        try:
            payload_text = encode_object(self.payload)
            part = "metadata"
            metadata_text = encode_object(self.metadata)
        except Unstorable as error:
            raise InvalidEvent(f"the {part} of {self.type} {error}") from None
        object.__setattr__(self, "payload_text", payload_text)
        object.__setattr__(self, "metadata_text", metadata_text)

    def recorded(self, sequence_number: int, token: int) -> "RecordedEvent":
        """Return the event as it reads back once it is recorded with this sequence number and token."""
        return RecordedEvent(
            sequence_number=sequence_number,
            token=token,
            type=self.type,
            payload=read_back(self.payload_text),
            metadata=read_back(self.metadata_text),
            occurred_at=self.occurred_at,
        )


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A fact on record.

    Attributes:
        sequence_number: The event's place in the log: 1, 2, 3 …, gapless and in commit order.
        token: Distinguishes this event from another one with the same number in a rewritten history.
        type: The event type.
        payload: The JSON object; fractions are ``Decimal``.
        metadata: The JSON object about the recording; fractions are ``Decimal``.
        occurred_at: When the event happened, in UTC.
    """

    sequence_number: int
    token: int
    type: str
    payload: dict[str, Any]
    metadata: dict[str, Any]
    occurred_at: datetime

    @property
    def position(self) -> Position:
        """The position of a reader that has seen this event and all before it."""
        return Position(number=self.sequence_number, token=self.token)


_payload_slot: Any = RecordedEvent.payload
_metadata_slot: Any = RecordedEvent.metadata
_written_payload, _written_metadata = _payload_slot.__get__, _metadata_slot.__get__


class UnreadEvent(RecordedEvent, frozen=True, kw_only=True, eq=False, gc=False):
    """A recorded event whose JSON is parsed on first access: the metadata of most events is never accessed.

    Constructed like ``RecordedEvent``, but with JSON text as ``msgspec.Raw``. It equals the parsed event. If msgspec
    encodes it before it is accessed, fractions are written as numbers.
    """

    @property  # type: ignore[misc]  # a property overrides the field, which is never assigned
    def payload(self) -> dict[str, Any]:
        """The JSON object; fractions are ``Decimal``."""
        value = _written_payload(self)
        if type(value) is msgspec.Raw:
            value = decode_object(value)
            _payload_slot.__set__(self, value)
        return cast("dict[str, Any]", value)

    @property  # type: ignore[misc]  # as for payload
    def metadata(self) -> dict[str, Any]:
        """The JSON object about the recording."""
        value = _written_metadata(self)
        if type(value) is msgspec.Raw:
            value = decode_object(value)
            _metadata_slot.__set__(self, value)
        return cast("dict[str, Any]", value)

    def read(self) -> RecordedEvent:
        """Return the event with its JSON parsed."""
        return RecordedEvent(
            sequence_number=self.sequence_number,
            token=self.token,
            type=self.type,
            payload=self.payload,
            metadata=self.metadata,
            occurred_at=self.occurred_at,
        )

    def __eq__(self, other: object) -> bool:
        if isinstance(other, UnreadEvent):
            other = other.read()
        return self.read() == other if isinstance(other, RecordedEvent) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as for any event: its objects are mutable

    def __repr__(self) -> str:
        return repr(self.read())

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self.read().__reduce__()


def _check_type(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_TYPE_LENGTH:
        raise InvalidEvent(f"an event type has 1 to {_MAX_TYPE_LENGTH} characters, not {name!r}")
    if not _is_storable(name):
        raise InvalidEvent(f"the event type {name!r} contains a NUL character or a lone surrogate")


@lru_cache(1024)
def _is_storable(name: str) -> bool:
    """Whether PostgreSQL can store an event type; cached, since a program has few types."""
    return "\x00" not in name and _is_text(name)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
