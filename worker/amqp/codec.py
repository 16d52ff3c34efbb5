"""The codec: what AMQP lets a publisher send, and the library below aio-pika cannot read, or not write again.

A frame that cannot be read ends the connection. The broker delivers its message again, to the next connection, until
the delivery limit: one message would stop a domain, and take its neighbours along. So the readers that can fail are
replaced, in the library's own tables of them, by ones that keep what can be read.

What was read must be written again where a message is sent on or answered: one that cannot be would come back
until the delivery limit, and be put aside without a reason.
"""

from collections.abc import Callable, Iterable
from typing import Any

from pamqp import decode, encode

__all__ = ["install_lenient_codec"]

Decoder = Callable[[bytes], tuple[int, Any]]

_TIMESTAMP_BYTES = 8
_SHORT_STRING_BYTES = 255
# Headers are walked by recursion, and the library recurses deeper to write them than to read them: what it could just
# read, it could not write again. The broker's own are three levels deep.
_DEEPEST = 32
_write: Callable[[Any], bytes] = encode.encode_table_value


def install_lenient_codec() -> None:
    """Read every message that a broker can deliver, and write what was read.

    It changes the library for the whole process: it is called where a worker or the command line starts, and by no
    import. Calling it again changes nothing.
    """
    decode.METHODS["timestamp"] = decode.TABLE_MAPPING[b"T"] = _timestamp
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["table"] = _headers
    encode.encode_table_value = _value


def _timestamp(value: bytes) -> tuple[int, Any]:
    """Read a time; one in micro- or nanoseconds lies outside the calendar, and counts as none."""
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return _TIMESTAMP_BYTES, None


def _short_string(value: bytes) -> tuple[int, str]:
    """Read a text; what is not UTF-8 in it is marked as such.

    A mark takes three bytes, where there was one: what then exceeds the length of such a text is cut off.
    """
    try:
        return decode.short_str(value)
    except UnicodeDecodeError:
        length = value[0]
        marked = value[1 : length + 1].decode(errors="replace").encode()
        return length + 1, marked[:_SHORT_STRING_BYTES].decode(errors="ignore")


def _headers(value: bytes) -> tuple[int, Any]:
    """Read headers; where one of them cannot be read, or is nested too deeply, none of them is."""
    try:
        size, headers = decode.field_table(value)
    except (ValueError, KeyError, RecursionError):
        return int.from_bytes(value[:4], "big") + 4, {}
    return size, {} if _is_deeper(headers.values(), _DEEPEST) else headers


def _is_deeper(values: Iterable[Any], limit: int) -> bool:
    """Whether tables and lists are nested beyond a limit."""
    return any(
        limit == 0 or _is_deeper(value.values() if isinstance(value, dict) else value, limit - 1)
        for value in values
        if isinstance(value, dict | list)
    )


def _value(value: Any) -> bytes:
    """Write a header's value; a fraction with all its digits, where the library has room for the smaller ones only."""
    return b"d" + encode.double(value) if isinstance(value, float) else _write(value)
