"""Events: facts to be recorded, and facts that are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from eventstore.errors import InvalidEvent
from eventstore.jsontext import Unstorable, decode_object, encode_object
from eventstore.position import Position

__all__ = ["Event", "RecordedEvent"]

_MAX_TYPE_LENGTH = 200
# asyncpg writes and reads them as infinities, which lie beyond every bound.
_ENDS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact to be recorded. Checked when it is made, so that a bad one never reaches an engine.

    Attributes:
        type: What happened, 1 to 200 characters.
        payload: A JSON object. Predicates look at its top-level fields. Fractions come back as ``Decimal``.
        metadata: A JSON object about the recording: who, why, in which trace. Predicates do not see it.
        occurred_at: When it happened, to the microsecond, with a time zone; now by default. Neither the first nor the
            last moment of the calendar, which stand for no time at all.

    Raises:
        InvalidEvent: A part cannot be recorded; the message names the part and the reason.
    """

    type: str
    payload: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    payload_text: str = field(init=False, repr=False, compare=False)
    metadata_text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not 0 < len(self.type) <= _MAX_TYPE_LENGTH:
            raise InvalidEvent(f"an event type has 1 to {_MAX_TYPE_LENGTH} characters, not {self.type!r}")
        if "\x00" in self.type or not _is_text(self.type):
            raise InvalidEvent(f"the event type {self.type!r} contains a NUL character or a lone surrogate")
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
        for part in ("payload", "metadata"):
            try:
                text = encode_object(getattr(self, part))
            except Unstorable as error:
                raise InvalidEvent(f"the {part} of {self.type} {error}") from None
            object.__setattr__(self, f"{part}_text", text)

    def recorded(self, sequence_number: int, token: int) -> "RecordedEvent":
        """Return this event as it is read back once it is on record under this number."""
        return RecordedEvent(
            sequence_number=sequence_number,
            token=token,
            type=self.type,
            payload=decode_object(self.payload_text),
            metadata=decode_object(self.metadata_text),
            occurred_at=self.occurred_at,
        )


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A fact on record.

    Attributes:
        sequence_number: Its place in the log: 1, 2, 3 …, gapless and in commit order.
        token: What tells this event from another with the same number in a rewritten history.
        type: What happened.
        payload: The JSON object; fractions are ``Decimal``.
        metadata: The JSON object about the recording.
        occurred_at: When it happened, in UTC.
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


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
