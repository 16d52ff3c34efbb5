"""The frames that a body reader leaves for the library."""

import asyncio
import struct

import pytest
from pamqp import body, commands, frame, header, heartbeat

from worker.amqp.body_reader import BodyReader

DELIVER = frame.marshal(commands.Basic.Deliver("tag", 1, False, "", "replies"), 3)
BODY = frame.marshal(body.ContentBody(b"the body"), 3)
CHUNKS = [1, 7, 100]


def content(properties: bytes, size: int = 8) -> bytes:
    """A content header with the given properties."""
    payload = struct.pack(">HHQ", 60, 0, size) + properties
    return struct.pack(">BHI", 2, 3, len(payload)) + payload + b"\xce"


# Headers of an unknown type, and a time outside the calendar.
UNREADABLE = content(struct.pack(">HI", 1 << 13 | 1 << 6, 3) + b"\x01a?" + b"\xff" * 8)
EMPTY = content(b"\0\0")


def reader(*frames: bytes) -> BodyReader:
    stream = asyncio.StreamReader()
    stream.feed_data(b"".join(frames))
    stream.feed_eof()
    return BodyReader(stream)


async def drained(reader: BodyReader, chunk: int) -> bytes:
    """Everything that it reads, in pieces of a given size, except for the last one."""
    read = b""
    while not reader.at_eof():
        try:
            read += await reader.readexactly(chunk)
        except asyncio.IncompleteReadError:
            read += await reader.read()
    return read


@pytest.mark.parametrize("chunk", CHUNKS)
async def test_a_content_header_has_no_properties_left(chunk: int) -> None:
    assert await drained(reader(DELIVER, UNREADABLE, BODY, UNREADABLE), chunk) == DELIVER + EMPTY + BODY + EMPTY


async def test_the_remaining_frames_can_be_read_by_the_library() -> None:
    _, channel, read = frame.unmarshal(await drained(reader(UNREADABLE), 1))
    assert isinstance(read, header.ContentHeader)
    assert (channel, read.body_size, read.properties) == (3, 8, commands.Basic.Properties())


@pytest.mark.parametrize("chunk", CHUNKS)
async def test_all_other_frames_are_unchanged(chunk: int) -> None:
    frames = DELIVER, BODY, heartbeat.Heartbeat().marshal(), frame.marshal(commands.Basic.Ack(1), 3)
    assert await drained(reader(*frames), chunk) == b"".join(frames)


async def test_a_protocol_header_is_passed_on() -> None:
    refusal = header.ProtocolHeader(1, 0, 0).marshal()
    made = reader(refusal)
    assert await made.readexactly(7) == refusal[:7]
    assert await made.read() == refusal[7:]


async def test_a_stream_that_ends_within_a_frame_raises() -> None:
    made = reader(BODY[:-1])
    with pytest.raises(asyncio.IncompleteReadError):
        await made.readexactly(1)
