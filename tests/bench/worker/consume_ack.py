"""A consumer that only acknowledges: the upper bound of every consumer with this client library.

``python -m tests.bench.worker.consume_ack QUEUE PREFETCH COUNT``, with ``AMQP_URL`` set. It prints "consuming" when it
consumes, and "done" after ``COUNT`` acknowledgements.
"""

import asyncio
import os
import sys

import aio_pika
import uvloop
from aiormq.abc import DeliveredMessage

from worker.amqp.connection import Link


async def consume(url: str, queue: str, prefetch: int, count: int) -> None:
    """Acknowledge ``count`` deliveries, each separately, as a worker does."""
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    wire = await Link.wire_of(channel)
    done = asyncio.Event()
    seen = 0

    async def acknowledge(message: DeliveredMessage) -> None:
        nonlocal seen
        await wire.basic_ack(message.delivery_tag or 0, wait=False)
        seen += 1
        if seen == count:
            done.set()

    await wire.basic_qos(prefetch_count=prefetch)
    _say("consuming")
    await wire.basic_consume(queue, acknowledge)
    await done.wait()
    # The broker answers in order: it has processed every acknowledgement by then.
    await channel.close()
    _say("done")
    await connection.close()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(consume(os.environ["AMQP_URL"], sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
