"""Sending: what is sent at once reaches the broker together, not each message by itself."""

import asyncio
from uuid import uuid4

import pytest

from worker.amqp.sender import Properties, Sender


async def test_messages_that_are_sent_at_once_are_written_together(vhost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    write = asyncio.StreamWriter.write

    def counted(stream: asyncio.StreamWriter, data: bytes) -> None:
        writes.append(len(data))
        write(stream, data)

    sender = await Sender(vhost, name="test").open()

    async def send(body: bytes) -> None:
        properties = Properties(message_id=str(uuid4()))
        # Nobody takes it, and the broker confirms all the same.
        await sender.send(body, properties, exchange="", routing_key="nobody", timeout=30, mandatory=False)

    try:
        monkeypatch.setattr(asyncio.StreamWriter, "write", counted)
        await asyncio.gather(*(send(b"a body of one message") for _ in range(200)))
        assert sum(writes) > 200 * len(b"a body of one message")
        # One, and perhaps a heartbeat; the library alone makes more than 190.
        assert len(writes) < 10
    finally:
        await sender.close()
