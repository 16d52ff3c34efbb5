"""Any message that the broker takes is settled, and the worker lives."""

import asyncio
import os
from collections import Counter

import pytest

from tests.faults.nonsense import Message, RawProperties, messages
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.worker_process import WorkerProcess
from worker.topology import Topology

_QUEUES = (Topology("tally"), Topology("library"))
_SETTLED = ("accepted", "rejected", "unchanged", "duplicate", "dead_lettered")
_ENVIRONMENT = {
    "WORKER_DOMAINS": "tests.support.domains.tally:domain,handlers.library:domain",
    # A handler's bug is tried again, twice.
    "WORKER_RETRY_DELAY": "0.1",
    # Less than the longest that is sent.
    "WORKER_MAX_MESSAGE_BYTES": "8192",
}
_SHORT, _LONG = 1_000, 10_000
_BATCH = 250
_MOST_WORKERS = 20
_SEED = int(os.environ.get("FAULTS_SEED", "1"))


@pytest.mark.timeout(900)
async def test_every_message_is_settled_and_the_worker_lives(database: Database, vhost: str) -> None:
    nonsense = messages(_LONG if "FAULTS_COMMANDS" in os.environ else _SHORT, number=_SEED)
    ends: Counter[str] = Counter()
    left = nonsense
    async with AmqpClient.open(vhost) as client:
        # A retry may rest unseen in a worker's hands, or the broker's, when nothing waits: another worker does what is
        # left.
        workers = 0
        while left or sum(ends[end] for end in _SETTLED) < len(nonsense):
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
        assert sum(ends[end] for end in _SETTLED) == len(nonsense)

        async def are_buried() -> bool:
            return sum([await client.ready(queues.dead_queue) for queues in _QUEUES]) == ends["dead_lettered"]

        # The broker moves what was rejected some time after that.
        await eventually(are_buried, what=f"{ends['dead_lettered']} dead letters")
    # Neither all of it was nonsense, nor none.
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
    """Wait until nothing waits any more for the worker."""

    async def is_done() -> bool:
        assert worker.lives, (worker.messages[-5:], batch)
        return await _waiting(client) == 0

    await eventually(is_done, what="all to be taken", seconds=60)


async def _waiting(client: AmqpClient) -> int:
    return sum([await client.ready(queue) for queues in _QUEUES for queue in (queues.queue, queues.retry_queue)])
