"""The shards of the tally domain: who consumes them, and what was decided of their commands in which order."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import AmqpClient
from tests.support.backlogs import backlog_if_told
from tests.support.domains.sharded import domain
from tests.support.fixtures.waiting import eventually
from tests.support.worker_process import WorkerProcess
from worker.publisher import Publisher
from worker.topology import Topology

SHARDED = Topology.of(domain)
DOMAIN = "tests.support.domains.sharded:domain"
_SHARE = re.compile(r"(\d+) workers share the 8 shards of tally\.commands; this one consumes: (.+)")


def share(worker: WorkerProcess) -> tuple[int, set[int]]:
    """How many workers a process knows of, and which shards it consumes, as it said last."""
    found = [match for message in worker.messages if (match := _SHARE.fullmatch(message))]
    if not found:
        return 0, set()
    workers, shards = found[-1].groups()
    return int(workers), set() if shards == "none" else set(map(int, shards.split(", ")))


async def shared(client: AmqpClient, workers: Sequence[WorkerProcess]) -> None:
    """Wait until all shards are consumed by these processes, each by one, in shares that are alike."""

    async def are_shared() -> bool:
        shares = [share(worker) for worker in workers]
        if any(known != len(workers) for known, _ in shares):
            return False
        sizes = [len(shards) for _, shards in shares]
        if sum(sizes) != 8 or max(sizes) - min(sizes) > 1 or len(set().union(*(each for _, each in shares))) != 8:
            return False
        return [await client.consumers(queue) for queue in SHARDED.work_queues] == [1] * 8

    await eventually(are_shared, what=f"{len(workers)} workers to share the shards")


async def counts(publisher: Publisher, keys: Iterable[str], *, each: int) -> dict[str, list[UUID]]:
    """Publish so many ``Count`` of each key, one after another; return their ids in this order."""

    async def count(key: str) -> list[UUID]:
        body = {"Key": key, "Limit": 1_000_000}
        return [await publisher.publish("tally", "Count", body, affinity_key=key) for _ in range(each)]

    keys = list(keys)
    return dict(zip(keys, await asyncio.gather(*map(count, keys)), strict=True))


async def decided(store: PostgresEventStore, sent: dict[str, list[UUID]]) -> None:
    """Wait until all are decided; see that each was once, and those of a key in the order in which they were sent."""
    total = sum(map(len, sent.values()))

    async def are_decided() -> bool:
        return len([receipt async for receipt in store.all_receipts()]) >= total

    await eventually(are_decided, what=f"{total} decisions")
    numbers: dict[UUID, list[int]] = defaultdict(list)
    async for receipt in store.all_receipts():
        assert receipt.key is not None
        assert receipt.first is not None
        numbers[receipt.key].append(receipt.first)
    for ids in sent.values():
        places = [numbers[each] for each in ids]
        assert all(len(place) == 1 for place in places)
        assert places == sorted(places)
    assert sum(map(len, numbers.values())) == total


async def attempts(store: PostgresEventStore) -> int:
    """How many attempts all commands have spent.

    A decision that was never sent counts in none: a part was read meanwhile, or what it relied on was refused.
    """
    return sum([receipt.outcome.details["attempts"] async for receipt in store.all_receipts()])


async def all_consumed(amqp_url: str) -> None:
    """Wait until every shard is there and has a consumer."""

    async def are_consumed() -> bool:
        found = await backlog_if_told(amqp_url, SHARDED)
        return found is not None and found.consumers == 8

    await eventually(are_consumed, what="every shard to be consumed")
