"""The body reader: lets a connection read message bodies without their properties.

A property that the library cannot decode ends the connection. ``codec`` replaces the library's decoders for the whole
process. That is right for a worker's process, but not for a program that only receives replies: its connection reads
through this class instead.
"""

from worker.amqp.frame_reader import FRAME, HEADER_FRAME, FrameReader

__all__ = ["BodyReader"]

# The method's class, an unused weight, and the size of the body; the properties follow.
_CONTENT_BYTES = 12
# Flags that say that no property is present.
_NO_PROPERTIES = b"\0\0"


class BodyReader(FrameReader):
    """Passes frames on, with the properties removed from every content header."""

    def passed_on(self, kind: int, channel: int, start: int, end: int) -> bytes:
        """Return the frame; without properties if it is a content header."""
        if kind != HEADER_FRAME:
            return self._buffer[start:end]
        content = start + FRAME.size
        emptied = self._buffer[content : content + _CONTENT_BYTES] + _NO_PROPERTIES
        return FRAME.pack(kind, channel, len(emptied)) + emptied + self._buffer[end - 1 : end]
