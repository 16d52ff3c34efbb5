"""The delivery reader: takes deliveries off a connection before the library sees them, in a quarter of its time.

The library reads three frames a delivery, each through coroutines, a queue, and at last a task. A worker's consumers
need none of these: what a channel is handed comes in order, and is taken at once.
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
# The class of the method, and a weight that nothing uses, stand before the size of the body; the properties follow.
_BODY_SIZE = struct.Struct(">4xQ")
_HEARTBEAT = Heartbeat().marshal()
# The library takes a connection for dead on which it sees nothing. A broker that delivers sends no heartbeats.
_HEARTBEAT_SECONDS = 1.0


class Received(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A message that was delivered.

    Attributes:
        tag: What the channel calls it.
        properties: Its AMQP properties.
        body: Its bytes.
        is_redelivered: Whether the broker has handed it out before.
    """

    tag: int
    properties: spec.Basic.Properties
    body: bytes
    is_redelivered: bool


class _Tap:
    """One channel's deliveries, and what there is already of the one that is coming in."""

    __slots__ = ("is_redelivered", "left", "parts", "properties", "tag", "take")

    def __init__(self, take: Callable[[Received], None]) -> None:
        self.take = take
        self.tag = 0
        self.is_redelivered = False
        self.properties: spec.Basic.Properties | None = None
        self.left = 0
        self.parts: list[bytes] = []


class DeliveryReader(FrameReader):
    """Hands all frames on but the deliveries of the channels that it was told of.

    Args:
        stream: Where the frames come from.
    """

    def __init__(self, stream: Bytes) -> None:
        super().__init__(stream)
        self._taps: dict[int, _Tap] = {}
        self._told_at = time.monotonic()

    def tap(self, channel: int, take: Callable[[Received], None]) -> None:
        """Have a channel's deliveries taken from now on, until the number stands for another channel.

        Args:
            channel: The channel's number.
            take: Called with each, in order. It must not block.
        """
        self._taps[channel] = _Tap(take)

    def passed_on(self, kind: int, channel: int, start: int, end: int) -> bytes:
        """See ``FrameReader.passed_on``.

        Raises:
            ValueError: The properties of a message cannot be read. The library ends the connection.
        """
        tap = self._taps.get(channel)
        payload = start + FRAME.size
        if tap is None:
            return self._buffer[start:end]
        if kind == METHOD_FRAME and self._buffer.startswith(_DELIVER, payload):
            self._begin(tap, payload + len(_DELIVER))
            return b""
        # What follows another method is that one's content.
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
        """Note the beginning of a delivery, and of nothing that came before it."""
        tap.tag, bits = _TAG.unpack_from(self._buffer, name + 1 + self._buffer[name])
        tap.is_redelivered = bool(bits & 1)
        tap.properties, tap.parts = None, []

    def _taken(self, tap: _Tap) -> bytes:
        """Hand a delivery over that is complete. Whatever becomes of it there, the connection goes on."""
        properties, parts = tap.properties, tap.parts
        if properties is None:
            raise ValueError("a message without a content header")
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        received = Received(tap.tag, properties, body, tap.is_redelivered)
        tap.tag, tap.properties, tap.parts = 0, None, []
        try:
            tap.take(received)
        except Exception:  # noqa: BLE001  nothing is acknowledged, so nothing is lost
            _log.exception("taking delivery %d failed", received.tag)
        now = time.monotonic()
        if now - self._told_at < _HEARTBEAT_SECONDS:
            return b""
        self._told_at = now
        return _HEARTBEAT


async def passed_by(_: DeliveredMessage) -> None:
    """Stand for a consumer in the library, which hands it nothing.

    Raises:
        RuntimeError: It does, and the command would be lost until the channel closes.
    """
    raise RuntimeError("a delivery was not taken")
