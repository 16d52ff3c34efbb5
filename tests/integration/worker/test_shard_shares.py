"""Shards are spread over the workers that live, and what is decided under one key keeps its order through all of it."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from eventstore.postgres import PostgresEventStore
from tests.integration.worker.shards import DOMAIN, SHARDED, all_consumed, attempts, counts, decided, share, shared
from tests.support.amqp_client import AmqpClient
from tests.support.connections import close_connections
from tests.support.domains.sharded import domain
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually
from tests.support.serving import Hold, consumers, consuming, received, serving_domain, settled
from tests.support.worker_process import WorkerProcess
from worker.amqp import shard_consumer
from worker.amqp.peers import Peers
from worker.amqp.shard_channel import ShardChannel
from worker.amqp.shard_consumer import ShardConsumer
from worker.counters import End
from worker.publisher import Publisher
from worker.service import Service

KEYS = [f"k{n}" for n in range(12)]
Start = Callable[[], AbstractAsyncContextManager[WorkerProcess]]


@pytest.fixture
def start(database: Database, vhost: str) -> Start:
    """Starts a worker of the domain with shards. One decision at a time, so that each key's order shows."""

    def start() -> AbstractAsyncContextManager[WorkerProcess]:
        return WorkerProcess.running(
            database.url, vhost, WORKER_DOMAINS=DOMAIN, WORKER_CONCURRENCY="1", WORKER_LOG_FORMAT="json"
        )

    return start


@pytest.fixture
async def four(start: Start, client: AmqpClient) -> AsyncIterator[list[WorkerProcess]]:
    """Four workers that share eight shards, started one after another."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(start()) for _ in range(4)]
        await shared(client, workers)
        yield workers


async def test_workers_that_start_one_after_another_share_the_shards(
    store: PostgresEventStore, start: Start, client: AmqpClient, publisher: Publisher
) -> None:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(start())]
        await shared(client, workers)
        sending = asyncio.create_task(counts(publisher, KEYS, each=40))
        workers += [await stack.enter_async_context(start()) for _ in range(3)]
        # Of the last start on: the broker and the workers know of it.
        await shared(client, workers)
        assert [len(share(worker)[1]) for worker in workers] == [2, 2, 2, 2]
        sent = await sending
        await decided(store, sent)
        for worker in workers:
            worker.signal()
        assert [await worker.status() for worker in workers] == [0] * 4
        reports = [worker.report() for worker in workers]
        total = sum(map(len, sent.values()))
        # Nothing was taken by two, nor decided, not even to find that it was on record.
        assert sum(report["received"] for report in reports) == total
        assert [report["duplicate"] for report in reports] == [0] * 4
        # A conflict is another process's event. Nothing else spends an attempt.
        assert await attempts(store) - total == sum(report["conflicts"] for report in reports)


async def test_shards_are_handed_over_once_to_processes_that_start_together(
    store: PostgresEventStore, vhost: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each handover returns deliveries, which the broker counts: after several they would pass for poison."""
    caplog.set_level(logging.INFO, "worker.amqp.shard_consumer")
    monkeypatch.setattr(shard_consumer, "_JOINING_SECONDS", 3600.0)
    monkeypatch.setattr(shard_consumer, "_LONGEST_JOINING_SECONDS", 3600.0)
    async with serving_domain(domain, store, vhost) as service, AsyncExitStack() as stack:
        await consuming(service)
        (consumer,) = consumers(service)
        assert isinstance(consumer, ShardConsumer)
        for joined in (2, 3, 4):
            other = Peers(vhost, SHARDED, changed=lambda: None)
            stack.push_async_callback(other.leave)
            await other.join()

            async def is_known(joined: int = joined) -> bool:
                return len(consumer._peers.names) == joined

            await eventually(is_known, what=f"{joined} processes to be known")
        assert len(consumer._channels) == 8
        consumer._have_joined()

        async def has_its_share() -> bool:
            return len(consumer._channels) == 2

        await eventually(has_its_share, what="the others' shards to be let go")
    told = [message for message in caplog.messages if "workers share the" in message]
    assert [message.partition(" ")[0] for message in told[:2]] == ["1", "4"]


async def test_processes_that_start_together_and_go_on_starting_get_shards_in_the_end(
    store: PostgresEventStore, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_consumer, "_JOINING_SECONDS", 3600.0)
    monkeypatch.setattr(shard_consumer, "_LONGEST_JOINING_SECONDS", 0.1)
    async with serving_domain(domain, store, vhost) as service:
        await consuming(service)
        (consumer,) = consumers(service)
        assert isinstance(consumer, ShardConsumer)
        other = Peers(vhost, SHARDED, changed=lambda: None)
        try:
            await other.join()

            async def has_its_share() -> bool:
                return len(consumer._channels) == 4

            await eventually(has_its_share, what="the other's shards to be let go")
        finally:
            await other.leave()


async def test_what_others_have_recorded_is_known_when_a_shard_comes_back(
    database: Database, store: PostgresEventStore, vhost: str, publisher: Publisher
) -> None:
    keys = [f"k{n}" for n in range(48)]
    async with (
        PostgresEventStore.connect(database.url) as other_store,
        serving_domain(domain, store, vhost) as first,
    ):
        sent = await counts(publisher, keys, each=2)
        await decided(store, sent)
        async with serving_domain(domain, other_store, vhost) as second:
            # The first has let go of half of the shards; their keys are decided by the other.
            await halved(first, second)
            there = await counts(publisher, keys, each=2)
            sent = {key: [*sent[key], *there[key]] for key in keys}
            await decided(store, sent)
            assert second.counters.received
        back = await counts(publisher, keys, each=2)
        await decided(store, {key: [*sent[key], *back[key]] for key in keys})
        assert (first.counters.conflicts, second.counters.conflicts) == (0, 0)
        assert await attempts(store) == 6 * len(keys)


async def test_a_shard_changes_hands_when_what_was_taken_from_it_is_settled(
    database: Database, store: PostgresEventStore, vhost: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process gets what comes later, and nothing that is still decided here."""
    keys = [f"k{n}" for n in range(48)]
    hold = Hold(store.query_many)
    async with (
        PostgresEventStore.connect(database.url) as other_store,
        serving_domain(domain, store, vhost, worker_concurrency=1) as first,
    ):
        monkeypatch.setattr(store, "query_many", hold)
        sent = await counts(publisher, keys, each=2)
        # One of each shard.
        await received(first, 8)
        async with serving_domain(domain, other_store, vhost, worker_concurrency=1) as second:
            here = shards_of(first)

            async def are_leaving() -> bool:
                return sum(channel.is_closing for channel in here.values()) >= 4

            await eventually(are_leaving, what="half of the shards to be left")
            later = await counts(publisher, keys, each=1)
            assert (first.counters.received, second.counters.received) == (8, 0)
            hold.release()
            await decided(store, {key: [*sent[key], *later[key]] for key in keys})
            await settled(first, first.counters.received)
            # What was taken was decided here, all else where its shard went, and nothing twice.
            await halved(first, second)
            assert first.counters.received + second.counters.received == 144
            assert await attempts(store) == 144
            assert second.counters.ends[End.DUPLICATE] == 0


async def test_the_shards_of_a_worker_that_is_killed_are_shared_by_the_rest(
    store: PostgresEventStore, four: list[WorkerProcess], client: AmqpClient, publisher: Publisher
) -> None:
    sending = asyncio.create_task(counts(publisher, KEYS, each=40))
    await at_work(store, 40)
    killed = four.pop(1)
    killed.signal(signal.SIGKILL)
    assert await killed.status() == -signal.SIGKILL
    await shared(client, four)
    await decided(store, await sending)


async def test_a_worker_that_is_told_to_stop_hands_its_shards_on(
    store: PostgresEventStore, four: list[WorkerProcess], client: AmqpClient, publisher: Publisher
) -> None:
    sending = asyncio.create_task(counts(publisher, KEYS, each=40))
    await at_work(store, 40)
    for _ in range(3):
        leaving = four.pop()
        leaving.signal()
        assert await leaving.status() == 0
        leaving.report()
        await shared(client, four)
    await decided(store, await sending)
    assert await client.ready(SHARDED.dead_queue) == 0


async def test_a_connection_that_is_lost_is_opened_again_with_its_share(
    store: PostgresEventStore, vhost: str, publisher: Publisher, management: Management
) -> None:
    sent: dict[str, list[UUID]] = {}
    async with serving_domain(domain, store, vhost, worker_concurrency=1) as service:
        for name in ("worker tally", "worker tally peers"):
            sent |= await counts(publisher, [f"{name} {n}" for n in range(8)], each=3)
            await close_connections(management, vhost, name)
            await all_consumed(vhost)
            await consuming(service)
            sent |= await counts(publisher, [f"{name} again {n}" for n in range(8)], each=3)
        await decided(store, sent)


async def test_a_shard_that_is_deleted_is_declared_and_consumed_again(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher
) -> None:
    async with serving_domain(domain, store, vhost) as service:
        await all_consumed(vhost)
        await client.delete(SHARDED.shard_queue(3))
        await all_consumed(vhost)
        await counts(publisher, KEYS, each=3)
        await settled(service, 36)


async def test_a_worker_that_leaves_puts_back_what_it_has_not_begun_once(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher
) -> None:
    async with serving_domain(domain, store, vhost, worker_concurrency=1) as service:
        await counts(publisher, ["a"], each=20)
        await settled(service, 1)
    left = 20 - service.counters.ends[End.ACCEPTED]
    assert service.counters.ends[End.LOST_CHANNEL] == 0

    async def are_back() -> bool:
        return sum([await client.ready(queue) for queue in SHARDED.work_queues]) == left

    # The broker counts what was returned when it has written that down.
    await eventually(are_back, what=f"{left} commands to be back")


async def test_the_prefetch_depends_on_how_many_shards_a_process_has(
    store: PostgresEventStore, vhost: str, management: Management
) -> None:
    path = f"/api/consumers{urlsplit(vhost).path}"

    async def each_has(prefetch: int) -> None:
        async def has() -> bool:
            found = await asyncio.to_thread(management.request, "GET", path)
            work = [each for each in found if each["queue"]["name"] in SHARDED.work_queues]
            return [each["prefetch_count"] for each in work] == [prefetch] * 8

        await eventually(has, what=f"eight consumers with a prefetch of {prefetch}")

    async with serving_domain(domain, store, vhost, worker_concurrency=8):
        await each_has(8)
        async with serving_domain(domain, store, vhost, worker_concurrency=8):
            # The first has opened those anew that it keeps.
            await each_has(16)
        await each_has(8)


async def at_work(store: PostgresEventStore, count: int) -> None:
    """Wait until so many commands are decided."""

    async def are_decided() -> bool:
        return len([receipt async for receipt in store.all_receipts()]) >= count

    await eventually(are_decided, what=f"{count} decisions")


async def halved(first: Service, second: Service) -> None:
    """Wait until each of two services has half of the shards."""

    async def are_halved() -> bool:
        here, there = ({n for n, each in shards_of(one).items() if not each.is_closing} for one in (first, second))
        return (len(here), len(there), here | there) == (4, 4, set(range(8)))

    await eventually(are_halved, what="each worker to have half of the shards")


def shards_of(service: Service) -> dict[int, ShardChannel]:
    """The channels that a service has, by shard."""
    (consumer,) = consumers(service)
    assert isinstance(consumer, ShardConsumer)
    return consumer._channels
