"""The frames that a delivery reader takes, and those that it leaves to the library."""

import asyncio
import logging
import struct
from types import SimpleNamespace

import pytest
from pamqp import body, commands, frame, header, heartbeat

from worker.amqp.delivery_reader import DeliveryReader, Received

OURS, OTHER = 3, 4
ACK = frame.marshal(commands.Basic.Ack(1), OURS)


def content(size: int, channel: int = OURS, message_id: str | None = None) -> bytes:
    return frame.marshal(header.ContentHeader(0, size, commands.Basic.Properties(message_id=message_id)), channel)


def delivered(tag: int, *parts: bytes, channel: int = OURS, redelivered: bool = False) -> bytes:
    """The frames of a delivery with a body in several frames."""
    method = frame.marshal(commands.Basic.Deliver("consumer", tag, redelivered, "commands", "tally"), channel)
    described = content(sum(map(len, parts)), channel, message_id=f"id {tag}")
    return method + described + b"".join(frame.marshal(body.ContentBody(part), channel) for part in parts)


class Taken(list[Received]):
    def tags(self) -> list[int]:
        return [each.tag for each in self]


def reader(*frames: bytes) -> tuple[DeliveryReader, Taken]:
    stream = asyncio.StreamReader()
    stream.feed_data(b"".join(frames))
    stream.feed_eof()
    made, taken = DeliveryReader(stream), Taken()
    made.tap(OURS, taken.append)
    return made, taken


async def left(made: DeliveryReader) -> bytes:
    """All frames that are left to the library."""
    read = b""
    while not made.at_eof():
        try:
            read += await made.readexactly(1)
        except asyncio.IncompleteReadError as error:
            return read + error.partial
    return read


async def test_deliveries_are_taken_in_order_and_other_frames_are_left() -> None:
    made, taken = reader(delivered(1, b"first"), ACK, delivered(2, b"second", redelivered=True), ACK)
    assert await left(made) == ACK + ACK
    assert [(each.tag, each.body, each.is_redelivered) for each in taken] == [
        (1, b"first", False),
        (2, b"second", True),
    ]
    assert [each.properties.message_id for each in taken] == ["id 1", "id 2"]


async def test_a_body_is_joined_from_its_frames() -> None:
    made, taken = reader(delivered(1), delivered(2, b"a", b"b" * 100_000, b"c"))
    assert await left(made) == b""
    assert [each.body for each in taken] == [b"", b"a" + b"b" * 100_000 + b"c"]


async def test_frames_of_other_channels_between_those_of_a_delivery_are_left() -> None:
    ours, other = delivered(1, b"ours"), delivered(1, b"other", channel=OTHER)
    at = ours.index(content(4, message_id="id 1"))
    made, taken = reader(ours[:at], other, ours[at:])
    assert await left(made) == other
    assert taken.tags() == [1]


async def test_a_delivery_in_pieces_is_taken_when_it_is_complete() -> None:
    stream = asyncio.StreamReader()
    made, taken = DeliveryReader(stream), Taken()
    made.tap(OURS, taken.append)
    reading = asyncio.create_task(made.readexactly(len(ACK)))
    for byte in delivered(1, b"slow") + ACK:
        assert not reading.done()
        stream.feed_data(bytes((byte,)))
        await asyncio.sleep(0)  # the reader's task takes it
    assert await reading == ACK
    assert taken.tags() == [1]


async def test_returned_messages_and_those_of_basic_get_are_left() -> None:
    fetched = frame.marshal(commands.Basic.GetOk(7, False, "", "tally", 0), OURS) + content(0)
    returned = frame.marshal(commands.Basic.Return(312, "NO_ROUTE", "", "nowhere"), OURS) + content(0)
    made, taken = reader(fetched, delivered(1, b"x"), returned)
    assert await left(made) == fetched + returned
    assert taken.tags() == [1]


async def test_after_an_exception_of_the_callback_the_next_delivery_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    made, _ = reader(delivered(1, b"a"), delivered(2, b"b"))
    tags = []

    def take(received: Received) -> None:
        tags.append(received.tag)
        if received.tag == 1:
            raise LookupError("not this one")

    made.tap(OURS, take)
    with caplog.at_level(logging.ERROR):
        assert await left(made) == b""
    assert tags == [1, 2]
    assert "handling delivery 1 failed" in caplog.text


async def test_the_library_gets_heartbeats_among_many_deliveries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without frames it would take the connection for dead; a broker that delivers sends no heartbeats."""
    now = 0.0
    monkeypatch.setattr("worker.amqp.delivery_reader.time", SimpleNamespace(monotonic=lambda: now))
    made, taken = reader(*(delivered(tag, b"x") for tag in range(1, 61)))

    def take(received: Received) -> None:
        nonlocal now
        taken.append(received)
        now += 0.1

    made.tap(OURS, take)
    seen = await left(made)
    beat = heartbeat.Heartbeat().marshal()
    assert len(taken) == 60
    assert seen == beat * (len(seen) // len(beat))
    assert 5 <= len(seen) // len(beat) <= 6


async def test_other_tasks_run_among_many_deliveries(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("worker.amqp.frame_reader.time", SimpleNamespace(monotonic=lambda: now))
    made, _ = reader(*(delivered(tag, b"x") for tag in range(1, 31)), ACK)
    turns: list[int] = []

    def take(received: Received) -> None:
        nonlocal now
        now += 0.001
        asyncio.get_running_loop().call_soon(turns.append, received.tag)

    made.tap(OURS, take)
    await made.readexactly(len(ACK))
    assert 1 <= len(turns) < 30


async def test_unreadable_properties_end_the_connection() -> None:
    method = delivered(1)[: delivered(1).index(content(0, message_id="id 1"))]
    payload = struct.pack(">HHQH", 60, 0, 0, 1 << 12)
    made, taken = reader(method + struct.pack(">BHI", 2, OURS, len(payload)) + payload + b"\xce")
    with pytest.raises(ValueError, match="octet"):
        await left(made)
    assert taken == []


async def test_a_content_header_without_a_delivery_is_left() -> None:
    made, taken = reader(content(0), frame.marshal(body.ContentBody(b"x"), OURS))
    assert await left(made) == content(0) + frame.marshal(body.ContentBody(b"x"), OURS)
    assert taken == []


async def test_an_incomplete_delivery_is_not_mixed_with_the_next() -> None:
    broken = delivered(1, b"half", b"missing")
    made, taken = reader(broken[: broken.index(b"missing") - 7], delivered(2, b"whole"))
    assert await left(made) == b""
    assert [(each.tag, each.body) for each in taken] == [(2, b"whole")]
