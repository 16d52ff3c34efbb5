"""Properties: the AMQP properties of a message, encoded and decoded in a fifth of the library's time."""

from datetime import UTC, datetime
from struct import Struct, error
from typing import Any

from aiormq import spec
from pamqp import encode
from pamqp.common import FieldTable
from pamqp.header import ContentHeader

__all__ = ["Properties", "read_properties"]

# The flags that say which properties follow, in that order.
_CONTENT_TYPE, _HEADERS, _DELIVERY_MODE, _CORRELATION_ID = 1 << 15, 1 << 13, 1 << 12, 1 << 10
_REPLY_TO, _MESSAGE_ID, _TIMESTAMP, _TYPE = 1 << 9, 1 << 7, 1 << 6, 1 << 5
# The method's class, an unused weight, and the size of the body.
_NO_SIZE = bytes(12)
_LONGEST_KEY = 128
# The type markers of header values.
_TEXT = ord("S")
_INTEGERS = {ord("b"): Struct(">b"), ord("s"): Struct(">h"), ord("I"): Struct(">i"), ord("l"): Struct(">q")}

_flags, _size, _time = Struct(">H").pack, Struct(">I").pack, Struct(">Q").pack
_read_flags, _read_size, _read_time = Struct(">H").unpack_from, Struct(">I").unpack_from, Struct(">Q").unpack_from
_OTHERS = 0xFFFF & ~(
    _CONTENT_TYPE | _HEADERS | _DELIVERY_MODE | _CORRELATION_ID | _REPLY_TO | _MESSAGE_ID | _TIMESTAMP | _TYPE
)
# The library takes larger timestamps for milliseconds.
_LATEST_TIME = 0xFFFFFFFF


class Properties(spec.Basic.Properties):
    """The library's properties. The usual ones are encoded here, all others and invalid ones by the library."""

    # Class attributes: properties that are rarely set need not be initialised for each message.
    content_encoding: str | None = None
    priority: int | None = None
    expiration: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str = ""

    def marshal(self) -> bytes:
        """Encode the properties as in a content header frame."""
        others = (
            self.content_encoding,
            self.priority,
            self.expiration,
            self.user_id,
            self.app_id,
            self.cluster_id,
        )
        if any(other is not None for other in others):
            return super().marshal()
        try:
            return self._usual()
        except (ValueError, TypeError, AttributeError, OverflowError, error):
            return super().marshal()

    def _usual(self) -> bytes:
        flags = 0
        parts = []
        if self.content_type:
            flags |= _CONTENT_TYPE
            parts.append(_short_text(self.content_type))
        if self.headers is not None:
            flags |= _HEADERS
            parts.append(_headers(self.headers))
        if self.delivery_mode is not None:
            flags |= _DELIVERY_MODE
            parts.append(bytes((self.delivery_mode,)))
        if self.correlation_id:
            flags |= _CORRELATION_ID
            parts.append(_short_text(self.correlation_id))
        if self.reply_to:
            flags |= _REPLY_TO
            parts.append(_short_text(self.reply_to))
        if self.message_id:
            flags |= _MESSAGE_ID
            parts.append(_short_text(self.message_id))
        if self.timestamp is not None:
            flags |= _TIMESTAMP
            parts.append(_timestamp(self.timestamp))
        if self.message_type:
            flags |= _TYPE
            parts.append(_short_text(self.message_type))
        return _flags(flags) + b"".join(parts)


def _short_text(value: str) -> bytes:
    written = value.encode()
    return b"%c%b" % (len(written), written)  # more than 255 bytes do not fit, which raises OverflowError


def _timestamp(value: datetime) -> bytes:
    if value.tzinfo is None:
        raise ValueError("the library knows what it takes it for")
    return _time(int(value.timestamp()))


def _headers(headers: FieldTable) -> bytes:
    parts = []
    for key, value in sorted(headers.items()):
        written = key.encode()
        if type(value) is not str or len(written) > _LONGEST_KEY:
            return encode.field_table(headers)
        told = value.encode()
        parts.append(b"%c%bS%b%b" % (len(written), written, _size(len(told)), told))
    content = b"".join(parts)
    return _size(len(content)) + content


def read_properties(text: bytes) -> spec.Basic.Properties:
    """Decode the properties of a content header, which follow the size of the body.

    The usual ones are decoded here; all others, and what is unusual about these, by the library.

    Raises:
        ValueError, struct.error: The properties are invalid, as raised by the library.
    """
    try:
        (flags,) = _read_flags(text)
        if not flags & _OTHERS and (properties := _read_usual(text, flags)) is not None:
            return properties
    except (ValueError, IndexError, error):
        pass  # the library reports what is wrong
    header = ContentHeader()
    header.unmarshal(_NO_SIZE + text)
    return header.properties


def _read_usual(text: bytes, flags: int) -> Properties | None:
    """Decode properties of the usual kinds; None if the library has to decode them."""
    # Without ``__init__``, which sets and checks what is set below.
    read: Any = Properties.__new__(Properties)
    read.content_type, at = _read_text(text, 2) if flags & _CONTENT_TYPE else (None, 2)
    read.headers = None
    if flags & _HEADERS:
        start = at + 4
        at = start + _read_size(text, at)[0]
        read.headers = _read_headers(text, start, at)
        if read.headers is None:
            return None
    read.delivery_mode = None
    if flags & _DELIVERY_MODE:
        read.delivery_mode = text[at]
        at += 1
    read.correlation_id, at = _read_text(text, at) if flags & _CORRELATION_ID else (None, at)
    read.reply_to, at = _read_text(text, at) if flags & _REPLY_TO else (None, at)
    read.message_id, at = _read_text(text, at) if flags & _MESSAGE_ID else (None, at)
    read.timestamp = None
    if flags & _TIMESTAMP:
        (seconds,) = _read_time(text, at)
        if seconds > _LATEST_TIME:
            return None
        read.timestamp = datetime.fromtimestamp(seconds, UTC)
        at += 8
    read.message_type, at = _read_text(text, at) if flags & _TYPE else (None, at)
    return read if at == len(text) else None


def _read_text(text: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + text[at]
    return text[at + 1 : end].decode(), end


def _read_headers(text: bytes, at: int, end: int) -> dict[str, Any] | None:
    """Decode headers whose values are strings or integers; None if there are others."""
    headers: dict[str, Any] = {}
    if end > len(text):
        return None
    while at < end:
        start = at + 1
        at = start + text[at]
        key, kind = text[start:at].decode(), text[at]
        if kind == _TEXT:
            (size,) = _read_size(text, at + 1)
            start = at + 5
            at = start + size
            headers[key] = text[start:at].decode()
        elif (number := _INTEGERS.get(kind)) is not None:
            (headers[key],) = number.unpack_from(text, at + 1)
            at += 1 + number.size
        else:
            return None
    return headers if at == end else None
