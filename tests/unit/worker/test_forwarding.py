from typing import Any
from uuid import UUID

import pytest
from pamqp.header import ContentHeader
from pydantic import ValidationError

from tests.unit.handlers.lamps import SwitchedOn
from worker.amqp.sender import Properties, Sender
from worker.rounds.forwarding import ERROR_HEADER, REASON_HEADER, TRACEBACK_HEADER, explain, forward

LIMIT = 16 * 1024


class Recorder(Sender):
    """A sender that records the messages."""

    def __init__(self) -> None:
        super().__init__("amqp://nowhere", name="recorder")
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
        headers={
            "traceparent": "00-1-2-3",
            "x-death": [1],
            "x-first-death-queue": "w",
            "x-delivery-count": 3,
            "worker-attempts": 1,
        },
    )
    await forward(recorder, b"body", original, queue="q", headers={"worker-attempts": 2}, rest=1.5, timeout=1)
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
    # An expiration would delete the copy; the broker checks user_id against the worker's own user.
    assert (copy.expiration, copy.user_id) == ("1500", None)
    assert original.headers is not None
    assert "x-death" in original.headers


async def test_headers_that_a_broker_acts_upon_are_kept_inside_another_header() -> None:
    recorder = Recorder()
    first = Properties(message_id="id", headers={"CC": ["a"], "BCC": ["b"], "x-tenant-id": b"\xff", "cc": "c"})
    await forward(recorder, b"", first, queue="q", headers={}, timeout=1)
    withheld = {"CC": ["a"], "BCC": ["b"], "x-tenant-id": bytearray(b"\xff")}
    assert recorder.sent["properties"].headers == {"cc": "c", "worker-withheld-headers": withheld}
    assert recorder.sent["alone"]
    # On the next hop, headers added by another system are included.
    again = Properties(message_id="id", headers={"worker-withheld-headers": {"CC": ["a"]}, "x-delay": 1})
    await forward(recorder, b"", again, queue="q", headers={}, timeout=1)
    assert recorder.sent["properties"].headers == {"worker-withheld-headers": {"CC": ["a"], "x-delay": 1}}
    forged = Properties(message_id="id", headers={"worker-withheld-headers": "forged", "x-delay": 1})
    await forward(recorder, b"", forged, queue="q", headers={}, timeout=1)
    assert recorder.sent["properties"].headers == {"worker-withheld-headers": {"x-delay": 1}}


async def test_withheld_headers_are_dropped_first_without_room() -> None:
    assert await forwarded({**TRACE, "x-long": "x" * 127_000}, error="e" * 4_000) == {
        **TRACE,
        "worker-attempts": 1,
        "worker-error": "e" * 4_000,
        "worker-dropped-headers": "worker-withheld-headers",
    }


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


def test_a_short_traceback_is_complete_and_an_empty_error_is_named_by_its_type() -> None:
    with pytest.raises(KeyError) as raised:
        raise KeyError("x")
    headers = explain(raised.value, reason="handler_error", queue="q", with_traceback=True)
    assert headers[TRACEBACK_HEADER].startswith("Traceback")
    assert explain(ValueError(), reason="r", queue="q", with_traceback=False)[ERROR_HEADER] == "ValueError"


def test_a_pydantic_error_is_one_sentence_without_values() -> None:
    with pytest.raises(ValidationError) as raised:
        SwitchedOn.model_validate({"watts": "a secret"})
    error = explain(raised.value, reason="handler_error", queue="q", with_traceback=True)[ERROR_HEADER]
    assert error == (
        "ValidationError: SwitchedOn: Lamp is missing; watts: input should be a valid integer, unable to parse string "
        "as an integer"
    )


def test_surrogates_are_replaced() -> None:
    headers = explain(ValueError("a\ud800b"), reason="r", queue="q", with_traceback=False)
    assert headers[ERROR_HEADER] == "a?b"


async def test_an_id_assigned_by_the_worker_is_marked() -> None:
    recorder = Recorder()
    await forward(recorder, b"", Properties(message_id=""), queue="q", headers={}, timeout=1)
    given = recorder.sent["properties"]
    assert str(UUID(given.message_id)) == given.message_id
    assert given.headers == {"worker-assigned-id": True}
    # A further copy keeps both.
    await forward(recorder, b"", given, queue="q", headers={}, timeout=1)
    again = recorder.sent["properties"]
    assert (again.message_id, again.headers) == (given.message_id, given.headers)
    await forward(recorder, b"", Properties(message_id="id"), queue="q", headers={}, timeout=1)
    assert recorder.sent["properties"].headers == {}


async def test_headers_can_be_omitted() -> None:
    recorder = Recorder()
    original = Properties(message_id="id", headers={"a": 1, "b": 2, "c": 3})
    await forward(recorder, b"", original, queue="q", headers={"b": 4}, without={"b", "c"}, timeout=1)
    assert recorder.sent["properties"].headers == {"a": 1, "b": 4}


TRACE = {"traceparent": "00-1-2-3", "tracestate": "a=b", "causation-id": "before"}
# The payload of the largest frame.
FRAME = 128 * 1024 - 8


async def forwarded(headers: dict[str, Any], *, error: str = "e", traceback: str | None = None) -> dict[str, Any]:
    """Dead-letter a message; assert that its copy fits into a frame, and return the copy's headers."""
    recorder = Recorder()
    added = {"worker-attempts": 1, "worker-error": error}
    if traceback is not None:
        added["worker-traceback"] = traceback
    properties = Properties(message_id="i" * 255, correlation_id="c" * 255, reply_to="r" * 255, headers=headers)
    await forward(recorder, b"", properties, queue="q", headers=added, timeout=1)
    copy = recorder.sent["properties"]
    copy.delivery_mode = 2
    assert len(ContentHeader(properties=copy).marshal()) <= FRAME
    return dict(copy.headers)


async def test_headers_that_fit_are_all_kept() -> None:
    # The largest headers that a publisher can send, without other properties.
    recorder = Recorder()
    headers: dict[str, Any] = {"large": "x" * (FRAME - 60)}
    await forward(recorder, b"", Properties(message_id="id", headers=headers), queue="q", headers={}, timeout=1)
    assert recorder.sent["properties"].headers == headers


async def test_the_traceback_is_dropped_first() -> None:
    headers = {**TRACE, "large": "x" * 125_000}
    assert await forwarded(headers, traceback="t" * 11_000) == {
        **headers,
        "worker-attempts": 1,
        "worker-error": "e",
        "worker-traceback": "left out: the message's headers take up its room",
    }


async def test_then_unused_headers_are_dropped_and_named() -> None:
    headers = {**TRACE, "worker-replayed-at": "then", "large": "x" * 127_000, "small": 1}
    assert await forwarded(headers, error="e" * 4_000) == {
        **TRACE,
        "worker-replayed-at": "then",
        "worker-attempts": 1,
        "worker-error": "e" * 4_000,
        "worker-dropped-headers": "large, small",
    }


async def test_then_all_foreign_headers_are_dropped() -> None:
    headers = {"tracestate": "x" * 128_000, "worker-error": "forged", "y" * 128: 1}
    assert await forwarded(headers, error="e" * 4_000, traceback="t") == {
        "worker-attempts": 1,
        "worker-error": "e" * 4_000,
        "worker-traceback": "left out: the message's headers take up its room",
        "worker-dropped-headers": "tracestate, " + "y" * 128,
    }


async def test_the_list_of_dropped_names_is_bounded() -> None:
    dropped = (await forwarded({f"h{n}": "x" * 1_000 for n in range(130)}))["worker-dropped-headers"]
    assert dropped.startswith("h0, h1, h10, ")
    assert dropped.endswith("…")
    assert len(dropped.encode()) <= 500


async def test_the_smallest_frame_has_a_part_of_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.amqp.connection._LARGEST_PAYLOAD", 4096 - 8)
    headers = await forwarded({"x": "y" * 2_000}, error="e" * 4_096, traceback="t" * 11_000)
    assert headers["worker-error"] == "e" * 497 + "…"
    assert headers["worker-dropped-headers"] == "x"


async def test_headers_that_cannot_be_written_are_dropped_like_large_ones() -> None:
    assert await forwarded({**TRACE, "odd": object()}) == {
        **TRACE,
        "worker-attempts": 1,
        "worker-error": "e",
        "worker-dropped-headers": "odd",
    }


async def test_the_copy_keeps_its_affinity_key_in_the_smallest_frame() -> None:
    recorder = Recorder()
    original = Properties(message_id="id", headers={"affinity-key": "tea", "long": "x" * 200_000})
    await forward(recorder, b"", original, queue="tally", exchange="commands.tally", headers={}, timeout=1)
    assert (recorder.sent["exchange"], recorder.sent["routing_key"]) == ("commands.tally", "tally")
    assert recorder.sent["properties"].headers["affinity-key"] == "tea"
    assert "long" not in recorder.sent["properties"].headers
