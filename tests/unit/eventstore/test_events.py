import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from eventstore import Event, InvalidEvent, InvalidRequest, Position, RecordedEvent
from eventstore.events import UnreadEvent

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_an_event_occurs_now_by_default() -> None:
    before = datetime.now(UTC)
    event = Event(type="Lent", payload={})
    assert before <= event.occurred_at <= datetime.now(UTC)
    assert event.metadata == {}


def test_the_time_is_kept_in_utc() -> None:
    event = Event(type="Lent", payload={}, occurred_at=NOON.astimezone(timezone(timedelta(hours=5))))
    assert event.occurred_at == NOON
    assert event.occurred_at.tzinfo is UTC


@pytest.mark.parametrize(
    "payload", [{}, {"": ""}, {"quote\"'\\": "'; DROP TABLE events; --"}, MappingProxyType({"Book": "日本"})]
)
def test_any_object_is_a_payload_and_metadata(payload: Any) -> None:
    event = Event(type="Lent", payload=payload, metadata=payload)
    assert event.payload == payload
    assert event.payload_text == event.metadata_text


@pytest.mark.parametrize("part", ["payload", "metadata"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "must be a JSON object, not list"),
        (None, "must be a JSON object, not NoneType"),
        ("{}", "must be a JSON object, not str"),
        (1, "must be a JSON object, not int"),
        ({"x": "\x00"}, "NUL character"),
        ({"\x00": "x"}, "NUL character"),
        ({"x": "\ud800"}, "lone surrogate"),
        ({"x": float("nan")}, "NaN"),
        ({"x": object()}, "object"),
    ],
)
def test_a_part_that_cannot_be_recorded_is_named_with_its_reason(part: str, value: Any, reason: str) -> None:
    parts: dict[str, Any] = {"payload": {}, part: value}
    with pytest.raises(InvalidEvent, match=f"the {part} of Lent .*{reason}"):
        Event(type="Lent", **parts)


@pytest.mark.parametrize("event_type", ["L", "L" * 200, "é" * 200, "🐍", "with space"])
def test_a_type_has_up_to_200_characters(event_type: str) -> None:
    assert Event(type=event_type, payload={}).type == event_type


@pytest.mark.parametrize(
    ("event_type", "reason"),
    [
        ("", "1 to 200 characters"),
        ("L" * 201, "1 to 200 characters"),
        (None, "1 to 200 characters"),
        (b"Lent", "1 to 200 characters"),
        ("Le\x00nt", "NUL character"),
        ("Le\udc00nt", "lone surrogate"),
    ],
)
def test_an_invalid_type_is_refused(event_type: Any, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        Event(type=event_type, payload={})


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="needs a time zone"):
        Event(type="Lent", payload={}, occurred_at=datetime(2026, 1, 5))  # noqa: DTZ001  the test is about naive times


def test_a_time_outside_the_calendar_is_refused() -> None:
    outside = datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))
    with pytest.raises(InvalidEvent, match="outside the calendar"):
        Event(type="Lent", payload={}, occurred_at=outside)


def test_the_ends_of_the_calendar_are_refused() -> None:
    instant = timedelta(microseconds=1)
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    for end, inside in ((first, first + instant), (last, last - instant)):
        with pytest.raises(InvalidEvent, match="occurred_at of Lent is an end of the calendar"):
            Event(type="Lent", payload={}, occurred_at=end)
        assert Event(type="Lent", payload={}, occurred_at=inside).occurred_at == inside


def test_a_refusal_is_an_invalid_request_and_a_value_error() -> None:
    assert issubclass(InvalidEvent, InvalidRequest)
    assert issubclass(InvalidEvent, ValueError)


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Event(type="Lent", payload={}).type = "Returned"  # type: ignore[misc]  # the assignment must fail


def test_a_recorded_event_is_a_position() -> None:
    event = RecordedEvent(sequence_number=3, token=7, type="Lent", payload={}, metadata={}, occurred_at=NOON)
    assert event.position == Position(number=3, token=7)


def unread(payload: str = '{"Price":1.50}', metadata: str = '{"by":"me"}') -> UnreadEvent:
    written: Any = msgspec.Raw
    return UnreadEvent(
        sequence_number=3, token=7, type="Lent", payload=written(payload), metadata=written(metadata), occurred_at=NOON
    )


def read() -> RecordedEvent:
    return RecordedEvent(
        sequence_number=3,
        token=7,
        type="Lent",
        payload={"Price": Decimal("1.50")},
        metadata={"by": "me"},
        occurred_at=NOON,
    )


def test_a_lazy_event_equals_its_parsed_form() -> None:
    assert unread() == read()
    assert read() == unread()
    assert unread() == unread()
    assert unread(payload='{"Price":2}') != read()
    assert unread(metadata="{}") != unread()
    assert unread() != "Lent"
    assert repr(unread()) == repr(read())


def test_a_lazy_event_is_parsed_once() -> None:
    event = unread()
    event.payload["Price"] = 2
    assert event.payload is event.payload
    assert event.payload == {"Price": 2}
    assert event.metadata is event.metadata


def test_a_lazy_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        unread().payload = {}  # type: ignore[misc]  # the assignment must fail


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda event: pickle.loads(pickle.dumps(event))])  # noqa: S301  pickled by the test itself
def test_a_lazy_event_is_copied_as_a_parsed_one(copied: Callable[[RecordedEvent], RecordedEvent]) -> None:
    assert copied(unread()) == read()
    assert msgspec.structs.replace(copied(unread()), token=8).payload == {"Price": Decimal("1.50")}


def test_a_lazy_event_is_written_with_its_stored_objects() -> None:
    assert msgspec.json.decode(msgspec.json.encode(unread()))["metadata"] == {"by": "me"}
