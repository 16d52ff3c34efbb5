from typing import Any, cast
from uuid import UUID

import pytest

from worker.forwarding import ERROR_HEADER, REASON_HEADER, TRACEBACK_HEADER, explain, forward
from worker.sender import Properties, Sender

LIMIT = 16 * 1024


class Recorder:
    """Stands where the sender stands, and keeps what it was given."""

    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}

    async def send(self, body: bytes, properties: Properties, **target: Any) -> None:
        self.sent = {"body": body, "properties": properties, **target}


async def test_the_copy_keeps_the_message_and_none_of_the_brokers_headers() -> None:
    recorder = Recorder()
    original = Properties(
        message_id="id",
        message_type="Count",
        correlation_id="visit",
        reply_to="there",
        content_type="application/json",
        expiration="7",
        user_id="someone",
        headers={"traceparent": "00-1-2-3", "x-death": [1], "x-delivery-count": 3, "worker-attempts": 1},
    )
    await forward(cast("Sender", recorder), b"body", original, queue="q", headers={"worker-attempts": 2}, rest=1.5)
    copy = recorder.sent["properties"]
    assert (recorder.sent["body"], recorder.sent["exchange"], recorder.sent["routing_key"]) == (b"body", "", "q")
    assert copy.headers == {"traceparent": "00-1-2-3", "worker-attempts": 2}
    assert (copy.message_id, copy.message_type, copy.correlation_id, copy.reply_to, copy.content_type) == (
        "id",
        "Count",
        "visit",
        "there",
        "application/json",
    )
    # The rest of another message would let this one expire; the broker checks user_id against our own name.
    assert (copy.expiration, copy.user_id) == ("1500", None)
    assert original.headers is not None
    assert "x-death" in original.headers


def deep(depth: int) -> None:
    if depth == 0:
        raise ValueError("€" * 20_000)
    deep(depth - 1)


def test_reason_error_and_traceback_stay_under_16_kb_together() -> None:
    with pytest.raises(ValueError, match="€") as raised:
        deep(300)
    headers = explain(raised.value, reason="handler_error", queue="q", with_traceback=True)
    assert sum(len(key.encode()) + len(str(value).encode()) for key, value in headers.items()) < LIMIT
    assert headers[REASON_HEADER] == "handler_error"
    assert headers[ERROR_HEADER].startswith("ValueError: €€")
    assert headers[TRACEBACK_HEADER].startswith("…")


def test_a_short_traceback_is_whole_and_an_empty_error_has_its_name() -> None:
    with pytest.raises(KeyError) as raised:
        raise KeyError("x")
    headers = explain(raised.value, reason="handler_error", queue="q", with_traceback=True)
    assert headers[TRACEBACK_HEADER].startswith("Traceback")
    assert explain(ValueError(), reason="r", queue="q", with_traceback=False)[ERROR_HEADER] == "ValueError"


def test_what_utf8_cannot_hold_is_replaced() -> None:
    headers = explain(ValueError("a\ud800b"), reason="r", queue="q", with_traceback=False)
    assert headers[ERROR_HEADER] == "a?b"


async def test_an_id_of_ours_is_marked_and_anybody_elses_is_not() -> None:
    recorder = Recorder()
    await forward(cast("Sender", recorder), b"", Properties(message_id=""), queue="q", headers={})
    given = recorder.sent["properties"]
    assert str(UUID(given.message_id)) == given.message_id
    assert given.headers == {"worker-assigned-id": True}
    # What is sent on once more keeps both.
    await forward(cast("Sender", recorder), b"", given, queue="q", headers={})
    again = recorder.sent["properties"]
    assert (again.message_id, again.headers) == (given.message_id, given.headers)
    await forward(cast("Sender", recorder), b"", Properties(message_id="id"), queue="q", headers={})
    assert recorder.sent["properties"].headers == {}


async def test_headers_can_be_left_out() -> None:
    recorder = Recorder()
    original = Properties(message_id="id", headers={"a": 1, "b": 2, "c": 3})
    await forward(cast("Sender", recorder), b"", original, queue="q", headers={"b": 4}, without={"b", "c"})
    assert recorder.sent["properties"].headers == {"a": 1, "b": 4}
