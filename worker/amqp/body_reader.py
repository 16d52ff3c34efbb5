"""The body reader: lets a connection see the bodies of messages, and no property of theirs.

A property that the library cannot read ends the connection. ``codec`` mends the library's readers, for the whole
process; that is for a worker's process to do, and not for a program that only asks for replies. Such a connection
reads through this instead.
"""

from worker.amqp.frame_reader import FRAME, HEADER_FRAME, FrameReader

__all__ = ["BodyReader"]

# The class of the method, a weight that nothing uses, and the size of the body; the properties follow.
_CONTENT_BYTES = 12
# Marks that there is not one property.
_NO_PROPERTIES = b"\0\0"


class BodyReader(FrameReader):
    """Hands frames on with every content header emptied of its properties."""

    def passed_on(self, kind: int, channel: int, start: int, end: int) -> bytes:
        """See ``FrameReader.passed_on``."""
        if kind != HEADER_FRAME:
            return self._buffer[start:end]
        content = start + FRAME.size
        emptied = self._buffer[content : content + _CONTENT_BYTES] + _NO_PROPERTIES
        return FRAME.pack(kind, channel, len(emptied)) + emptied + self._buffer[end - 1 : end]
