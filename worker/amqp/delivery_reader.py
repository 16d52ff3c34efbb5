"""The delivery reader: takes deliveries from a connection before the library, in a quarter of its time.

The library reads three frames for a delivery, through coroutines, a queue and finally a task. A worker's consumers need
none of these: each delivery is passed to a callback, in order, as soon as it is complete.
"""

import logging
import struct
import time
from collections.abc import Callable

import msgspec
from aiormq import spec
from aiormq.abc import DeliveredMessage
from pamqp.heartbeat import Heartbeat

from worker.amqp.frame_reader import BODY_FRAME, FRAME, HEADER_FRAME, METHOD_FRAME, Bytes, FrameReader
from worker.amqp.properties import read_properties

__all__ = ["DeliveryReader", "Received", "passed_by"]

_log = logging.getLogger(__name__)

_DELIVER = b"\0\x3c\0\x3c"
_TAG = struct.Struct(">QB")
# The method's class and an unused weight stand before the size of the body; the properties follow.
_BODY_SIZE = struct.Struct(">4xQ")
_HEARTBEAT = Heartbeat().marshal()
# The library takes a connection without frames for dead. A broker that delivers sends no heartbeats.
_HEARTBEAT_SECONDS = 1.0


class Received(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A delivered message.

    Attributes:
        tag: Its delivery tag on the channel.
        properties: Its AMQP properties.
        body: The message's bytes.
        is_redelivered: Whether the broker has delivered it before.
    """

    tag: int
    properties: spec.Basic.Properties
    body: bytes
    is_redelivered: bool


class _Tap:
    """A channel's callback, and what has arrived of the current delivery."""

    __slots__ = ("is_redelivered", "left", "parts", "properties", "tag", "take")

    def __init__(self, take: Callable[[Received], None]) -> None:
        self.take = take
        self.tag = 0
        self.is_redelivered = False
        self.properties: spec.Basic.Properties | None = None
        self.left = 0
        self.parts: list[bytes] = []


class DeliveryReader(FrameReader):
    """Passes all frames on to the library, except deliveries of the channels given to ``tap``.

    Args:
        stream: The stream to read frames from.
    """

    def __init__(self, stream: Bytes) -> None:
        super().__init__(stream)
        self._taps: dict[int, _Tap] = {}
        self._told_at = time.monotonic()

    def tap(self, channel: int, take: Callable[[Received], None]) -> None:
        """Have the deliveries of a channel passed to a callback from now on, until its number is used for another one.

        Args:
            channel: The channel's number.
            take: Called with each delivery, in order. It must not block.
        """
        self._taps[channel] = _Tap(take)

    def passed_on(self, kind: int, channel: int, start: int, end: int) -> bytes:
        """Return the frame; nothing if it is part of a delivery that is taken here.

        Raises:
            ValueError: The properties of a message cannot be decoded. The library then closes the connection.
        """
        tap = self._taps.get(channel)
        payload = start + FRAME.size
        if tap is None:
            return self._buffer[start:end]
        if kind == METHOD_FRAME and self._buffer.startswith(_DELIVER, payload):
            self._begin(tap, payload + len(_DELIVER))
            return b""
        # A content frame after another method belongs to that method.
        if not tap.tag or kind not in {HEADER_FRAME, BODY_FRAME}:
            return self._buffer[start:end]
        if kind == HEADER_FRAME:
            (tap.left,) = _BODY_SIZE.unpack_from(self._buffer, payload)
            tap.properties = read_properties(self._buffer[payload + _BODY_SIZE.size : end - 1])
        else:
            part = self._buffer[payload : end - 1]
            tap.left -= len(part)
            tap.parts.append(part)
        return b"" if tap.left > 0 else self._taken(tap)

    def _begin(self, tap: _Tap, name: int) -> None:
        """Begin a new delivery, and drop an incomplete one."""
        tap.tag, bits = _TAG.unpack_from(self._buffer, name + 1 + self._buffer[name])
        tap.is_redelivered = bool(bits & 1)
        tap.properties, tap.parts = None, []

    def _taken(self, tap: _Tap) -> bytes:
        """Pass a complete delivery to its callback. If that raises, the connection goes on."""
        properties, parts = tap.properties, tap.parts
        if properties is None:
            raise ValueError("a message without a content header")
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        received = Received(tap.tag, properties, body, tap.is_redelivered)
        tap.tag, tap.properties, tap.parts = 0, None, []
        try:
            tap.take(received)
        except Exception:  # noqa: BLE001  it is not acknowledged, so nothing is lost
            _log.exception("handling delivery %d failed", received.tag)
        now = time.monotonic()
        if now - self._told_at < _HEARTBEAT_SECONDS:
            return b""
        self._told_at = now
        return _HEARTBEAT


async def passed_by(_: DeliveredMessage) -> None:
    """Stand in for a consumer in the library, which gets no delivery.

    Raises:
        RuntimeError: The library calls it nevertheless. The command would not be seen until the channel closes.
    """
    raise RuntimeError("a delivery had no consumer")
