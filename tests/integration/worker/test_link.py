"""The link: a channel whose preparation gets no answer is tried on another connection."""

import asyncio

from aio_pika.abc import AbstractChannel

from worker.amqp.connection import Link


async def test_a_preparation_that_gets_no_answer_is_tried_on_another_connection(vhost: str) -> None:
    channels: list[AbstractChannel] = []

    async def prepare(channel: AbstractChannel) -> None:
        channels.append(channel)
        if len(channels) == 1:
            await asyncio.Event().wait()

    link = Link(vhost, name="test", prepare=prepare, prepare_seconds=0.5)
    try:
        async with asyncio.timeout(30):
            assert not (await link.wire()).is_closed
        assert channels[0].is_closed
    finally:
        await link.close()
