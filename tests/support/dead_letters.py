"""Dead letters for tests: publishes them to a dead queue, and reads what a queue holds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage

from tests.support.amqp_client import AmqpClient
from tests.support.serving import QUEUES
from worker.amqp.connection import Link
from worker.amqp.dead_queue import DeadQueue
from worker.amqp.declaration import declare
from worker.amqp.sender import Sender
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.replay import Bounds, look, replay
from worker.dead_letters.selection import Judgement, Rules

GOOD = b'{"Key": "a", "Limit": 1000000}'


async def make_queues(amqp_url: str) -> None:
    """Declare the tally domain's queues, as a worker does."""
    link = Link(amqp_url, name="queues of a test", prepare=lambda channel: declare(channel, QUEUES))
    await link.wire()
    await link.close()


def failure_headers(*, reason: str = "handler_error", age: timedelta = timedelta(), **more: Any) -> dict[str, Any]:
    """The headers of a letter that a worker dead-lettered ``age`` ago."""
    died = (datetime.now(UTC) - age).isoformat()
    return {
        "worker-reason": reason,
        "worker-error": "because",
        "worker-queue": QUEUES.queue,
        "worker-failed-at": died,
        "worker-first-failure": died,
        "worker-attempts": 3,
        "worker-handler-failures": 3,
        **more,
    }


async def put_dead_letters(client: AmqpClient, count: int, **properties: Any) -> list[str]:
    """Publish valid commands as dead letters; return their ids in order."""
    chosen = {"headers": failure_headers(), "body": GOOD} | properties
    ids = [str(UUID(int=number)) for number in range(1, count + 1)]
    for each in ids:
        await client.put(exchange="", routing_key=QUEUES.dead_queue, message_id=each, **chosen)
    await client.holds(QUEUES.dead_queue, count)
    return ids


@asynccontextmanager
async def opened(amqp_url: str) -> AsyncIterator[DeadQueue]:
    """Open the tally domain's dead queue."""
    async with DeadQueue.open(amqp_url, QUEUES) as queue:
        yield queue


async def letters(amqp_url: str) -> list[DeadLetter]:
    """Browse every dead letter, in order."""
    found: list[DeadLetter] = []
    async with opened(amqp_url) as queue:
        await look(queue, await queue.count() or 0, found.append, progress=lambda: None)
    return found


async def emptied(client: AmqpClient, queue: str, count: int) -> list[AbstractIncomingMessage]:
    """Take ``count`` messages out of a queue, in order."""
    return [await client.take(queue) for _ in range(count)]


async def replayed(amqp_url: str, *, most: int = 1000, oldest: int | None = None, rate: float | None = None) -> int:
    """Replay every letter that can be replayed."""
    rules = Rules(since=datetime.now(UTC))
    sender = Sender(amqp_url, name="replay of a test")
    try:
        async with opened(amqp_url) as queue:
            there = await queue.count() or 0
            return await replay(
                queue,
                sender,
                lambda letter: rules.judge(letter) is Judgement.REPLAY,
                Bounds(oldest=there if oldest is None else oldest, most=most, rate=rate),
                progress=lambda: None,
            )
    finally:
        await sender.close()
