"""The codec: what AMQP lets a publisher send and the library below aio-pika cannot decode, or not encode again.

A frame that cannot be decoded ends the connection. The broker then delivers the message to the next connection, until
the delivery limit: one message would stop a domain, together with the messages around it. So the decoders that can fail
are replaced, in the library's own tables, by ones that keep what can be decoded.

A message that is forwarded or answered must be encoded again. If that failed, it would come back until the delivery
limit, and would be dead-lettered without a reason.
"""

from collections.abc import Callable, Iterable
from typing import Any

from pamqp import decode, encode

__all__ = ["install_lenient_codec"]

Decoder = Callable[[bytes], tuple[int, Any]]

_TIMESTAMP_BYTES = 8
_SHORT_STRING_BYTES = 255
# Headers are processed by recursion, and the library recurses deeper to encode them than to decode them: without a
# limit, headers could be decoded that cannot be encoded again. The broker's own are three levels deep.
_DEEPEST = 32
_write: Callable[[Any], bytes] = encode.encode_table_value


def install_lenient_codec() -> None:
    """Make the library decode every message that a broker can deliver, and encode what was decoded.

    This changes the library for the whole process, so it is called where a worker or the command line starts, and not
    by an import. Calling it again changes nothing.
    """
    decode.METHODS["timestamp"] = decode.TABLE_MAPPING[b"T"] = _timestamp
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["table"] = _headers
    encode.encode_table_value = _value


def _timestamp(value: bytes) -> tuple[int, Any]:
    """Decode a timestamp; one in micro- or nanoseconds is outside the calendar, and gives None."""
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return _TIMESTAMP_BYTES, None


def _short_string(value: bytes) -> tuple[int, str]:
    """Decode a short string; bytes that are not UTF-8 are replaced by U+FFFD.

    The replacement takes three bytes instead of one: what exceeds the limit of a short string is cut off.
    """
    try:
        return decode.short_str(value)
    except UnicodeDecodeError:
        length = value[0]
        marked = value[1 : length + 1].decode(errors="replace").encode()
        return length + 1, marked[:_SHORT_STRING_BYTES].decode(errors="ignore")


def _headers(value: bytes) -> tuple[int, Any]:
    """Decode headers; if one of them cannot be decoded or is nested too deeply, all are dropped."""
    try:
        size, headers = decode.field_table(value)
    except (ValueError, KeyError, RecursionError):
        return int.from_bytes(value[:4], "big") + 4, {}
    return size, {} if _is_deeper(headers.values(), _DEEPEST) else headers


def _is_deeper(values: Iterable[Any], limit: int) -> bool:
    """Whether tables and lists are nested more than ``limit`` levels deep."""
    return any(
        limit == 0 or _is_deeper(value.values() if isinstance(value, dict) else value, limit - 1)
        for value in values
        if isinstance(value, dict | list)
    )


def _value(value: Any) -> bytes:
    """Encode a header's value; a float in double precision, where the library would use single precision."""
    return b"d" + encode.double(value) if isinstance(value, float) else _write(value)
