"""Protobuf's wire format, as far as OTLP needs it for encoding.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from struct import Struct

__all__ = ["double", "field", "fixed32", "fixed64", "integer", "length", "text"]

fixed32 = Struct("<I").pack
"""Four bytes, little-endian."""

fixed64 = Struct("<Q").pack
"""Eight bytes, little-endian."""

double = Struct("<d").pack
"""A double-precision float."""

_SINGLE = tuple(bytes((value,)) for value in range(128))
_SMALLEST, _LARGEST = -(1 << 63), (1 << 63) - 1


def length(value: int) -> bytes:
    """Encode a number that is not negative as a varint."""
    if value < 128:  # noqa: PLR2004  seven bits a byte
        return _SINGLE[value]
    written = bytearray()
    while value > 127:  # noqa: PLR2004  likewise
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def integer(value: int) -> bytes:
    """Encode a signed number as a varint.

    Raises:
        ValueError: It has more than 64 bits.
    """
    if 0 <= value <= _LARGEST:
        return length(value)
    if not _SMALLEST <= value <= _LARGEST:
        raise ValueError(f"{value} has more than 64 bits")
    return length(value + (1 << 64))


def field(tag: bytes, content: bytes) -> bytes:
    """Encode a field of bytes, text or a message, with its tag."""
    return b"%b%b%b" % (tag, length(len(content)), content)


def text(value: str) -> bytes:
    """Encode a text in UTF-8; lone surrogates become question marks."""
    return value.encode(errors="replace")
