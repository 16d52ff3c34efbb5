from datetime import UTC, datetime
from typing import Any

import pytest
from pamqp import decode, encode

from worker.amqp.codec import install_lenient_codec

install_lenient_codec()


def read(kind: str, value: bytes) -> tuple[int, Any]:
    """Read a value that is followed by other bytes, as in a frame."""
    return decode.by_type(value + b"\xfe\xfe", kind)


@pytest.mark.parametrize("seconds", [1_700_000_000_000_000, 1_700_000_000_000_000_000, 2**64 - 1])
def test_a_time_outside_the_calendar_is_none(seconds: int) -> None:
    assert read("timestamp", seconds.to_bytes(8, "big")) == (8, None)


def test_a_time_is_read() -> None:
    assert read("timestamp", (1_700_000_000).to_bytes(8, "big")) == (8, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC))


def test_invalid_utf_8_in_a_text_is_escaped() -> None:
    assert read("shortstr", b"\x04caf\xe9") == (5, "caf\N{REPLACEMENT CHARACTER}")
    assert read("shortstr", b"\x04cafe") == (5, "cafe")


@pytest.mark.parametrize(
    "text",
    [b"\xff" * 255, b"\xff" * 86, b"a" + b"\xff" * 254, b"\xff" * 85 + "\u00e9".encode() * 85],
    ids=["all", "one too many", "from the second on", "with others"],
)
def test_an_escaped_text_can_be_written_again(text: bytes) -> None:
    size, marked = read("shortstr", bytes([len(text)]) + text)
    assert size == len(text) + 1
    written = encode.short_string(marked)
    assert read("shortstr", written) == (len(written), marked)
    # Only the part without room is missing.
    assert text.decode(errors="replace").startswith(marked)
    assert len(written) > 252


def test_headers_are_read() -> None:
    written = encode.field_table({"a": 1, "b": {"c": ["d"]}})
    assert read("table", written) == (len(written), {"a": 1, "b": {"c": ["d"]}})


@pytest.mark.parametrize(
    "content",
    [
        b"\x01\xe9S\x00\x00\x00\x01x",  # a name that is not UTF-8
        b"\x01a?",  # an unknown type
        b"\x01aS\x00",  # a truncated text
        b"\x01aT" + (2**64 - 1).to_bytes(8, "big") + b"\x09",  # a name longer than the remaining bytes
    ],
)
def test_unreadable_headers_are_none(content: bytes) -> None:
    written = len(content).to_bytes(4, "big") + content
    assert read("table", written) == (len(written), {})


def nested(depth: int, kind: bytes = b"F") -> bytes:
    """Headers with tables or lists nested to a depth."""
    inner = (0).to_bytes(4, "big")
    for level in range(depth):
        content = (b"\x01a" if kind == b"F" or level == depth - 1 else b"") + kind + inner
        inner = len(content).to_bytes(4, "big") + content
    return inner


@pytest.mark.parametrize("kind", [b"F", b"A"])
# The library reads several hundred levels, and writes fewer.
@pytest.mark.parametrize("depth", [33, 400, 5000])
def test_headers_nested_too_deeply_are_none(depth: int, kind: bytes) -> None:
    written = nested(depth, kind)
    assert read("table", written) == (len(written), {})


@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_headers_nested_less_deeply_round_trip(kind: bytes) -> None:
    written = nested(32, kind)
    size, headers = read("table", written)
    assert size == len(written)
    assert encode.field_table(headers) == written


@pytest.mark.parametrize("value", [0.1, 1e300, -1e-300, float("inf"), {"in": [2e200]}])
def test_fractions_round_trip(value: Any) -> None:
    written = encode.field_table({"a": value})
    assert read("table", written) == (len(written), {"a": value})
