"""Every message that the broker accepts is settled, and the worker does not end."""

import asyncio
import os
from collections import Counter

import pytest

from tests.faults.invalid_messages import Message, RawProperties, messages
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.worker_process import WorkerProcess
from worker.topology import Topology

_QUEUES = (Topology("tally"), Topology("library"))
_SETTLED = ("accepted", "rejected", "unchanged", "duplicate", "dead_lettered")
_ENVIRONMENT = {
    "WORKER_DOMAINS": "tests.support.domains.tally:domain,handlers.library:domain",
    # A failing handler is retried twice.
    "WORKER_RETRY_DELAY": "0.1",
    # Less than the longest generated body.
    "WORKER_MAX_MESSAGE_BYTES": "8192",
}
_SHORT, _LONG = 1_000, 10_000
_BATCH = 250
_MOST_WORKERS = 20
_SEED = int(os.environ.get("FAULTS_SEED", "1"))


@pytest.mark.timeout(900)
async def test_every_message_is_settled_and_the_worker_lives(database: Database, vhost: str) -> None:
    generated = messages(_LONG if "FAULTS_COMMANDS" in os.environ else _SHORT, number=_SEED)
    ends: Counter[str] = Counter()
    left = generated
    async with AmqpClient.open(vhost) as client:
        # A retry may be in a worker's delay or on its way in the broker, in no queue: another worker settles what is
        # left.
        workers = 0
        while left or sum(ends[end] for end in _SETTLED) < len(generated):
            workers += 1
            assert workers <= _MOST_WORKERS, ends
            async with WorkerProcess.running(database.url, vhost, **_ENVIRONMENT) as worker:
                for start in range(0, max(1, len(left)), _BATCH):
                    batch = left[start : start + _BATCH]
                    await asyncio.gather(*(_put(client, message) for message in batch))
                    await _taken(client, worker, batch)
                left = []
                worker.signal()
                assert await worker.status() == 0
                ends.update(worker.report())
                failed = [each for each in worker.records if each["message"].startswith("settling")]
                assert not failed, failed[:3]
        assert sum(ends[end] for end in _SETTLED) == len(generated)

        async def are_in_the_dead_queues() -> bool:
            return sum([await client.ready(queues.dead_queue) for queues in _QUEUES]) == ends["dead_lettered"]

        # The broker moves rejected messages with a delay.
        await eventually(are_in_the_dead_queues, what=f"{ends['dead_lettered']} dead letters")
    # The generated messages cover every outcome.
    assert all(ends[end] for end in (*_SETTLED, "retried"))


async def _put(client: AmqpClient, message: Message) -> None:
    await client._wire.basic_publish(
        message.body,
        exchange="commands",
        routing_key=message.domain,
        properties=RawProperties(message.properties, "of no account"),
        mandatory=True,
    )


async def _taken(client: AmqpClient, worker: WorkerProcess, batch: list[Message]) -> None:
    """Wait until no message waits for the worker."""

    async def is_done() -> bool:
        assert worker.lives, (worker.messages[-5:], batch)
        return await _waiting(client) == 0

    await eventually(is_done, what="all messages to be consumed")


async def _waiting(client: AmqpClient) -> int:
    return sum([await client.ready(queue) for queues in _QUEUES for queue in (queues.queue, queues.retry_queue)])
