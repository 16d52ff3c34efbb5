"""The frame writer: frames of one iteration of the event loop are sent together, in order, and never twice."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from worker.amqp.frame_writer import FrameWriter


class _Transport(asyncio.Transport):
    """A transport that records its writes."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.ended = self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "a transport that is closed is not written to"
        self.sent.append(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
async def transport() -> _Transport:
    return _Transport()


@pytest.fixture
async def writer(transport: _Transport) -> AsyncIterator[FrameWriter]:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    stream = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
    yield FrameWriter(stream)
    stream.close()


async def test_frames_of_one_loop_iteration_are_sent_as_one_write(transport: _Transport, writer: FrameWriter) -> None:
    for frame in (b"one", b"two", b"three"):
        writer.write(frame)
    assert transport.sent == []
    await asyncio.sleep(0)
    assert transport.sent == [b"onetwothree"]
    writer.write(b"four")
    await asyncio.sleep(0)
    assert transport.sent == [b"onetwothree", b"four"]


async def test_a_large_buffer_is_sent_at_once_and_only_once(transport: _Transport, writer: FrameWriter) -> None:
    writer.write(b"a")
    writer.write(b"b" * 65_536)
    assert transport.sent == [b"a" + b"b" * 65_536]
    writer.write(b"c")
    await asyncio.sleep(0)
    assert transport.sent == [b"a" + b"b" * 65_536, b"c"]


async def test_drain_sends_the_buffer_first(transport: _Transport, writer: FrameWriter) -> None:
    writer.write(b"frame")
    await writer.drain()
    assert transport.sent == [b"frame"]


async def test_eof_and_close_come_after_buffered_frames(transport: _Transport, writer: FrameWriter) -> None:
    writer.write(b"frame")
    writer.write_eof()
    assert (transport.sent, transport.ended) == ([b"frame"], True)
    writer.write(b"last")
    writer.close()
    assert (transport.sent, writer.is_closing()) == ([b"frame", b"last"], True)


async def test_nothing_is_sent_to_a_stream_that_was_closed_meanwhile(
    transport: _Transport, writer: FrameWriter
) -> None:
    writer.write(b"frame")
    transport.close()
    await asyncio.sleep(0)
    assert transport.sent == []
