"""A worker process that is told to stop: what has started finishes, the rest goes back, nothing is lost or doubled."""

import signal
from contextlib import AsyncExitStack

import pytest

from eventstore import Filter
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, serving, settled
from tests.support.worker_process import WorkerProcess
from worker.amqp.declaration import declare

COMMANDS = 20
# Four at once, four more on hand.
SMALL = {"WORKER_CONCURRENCY": "4"}


@pytest.fixture
async def ids(client: AmqpClient) -> set[str]:
    """Commands that wait for a worker."""
    await declare(client.channel, QUEUES)
    return {await client.put(b'{"Key": "k%d"}' % n) for n in range(COMMANDS)}


async def answered(store: PostgresEventStore) -> set[str]:
    """Whose answers are on record; each has exactly one effect."""
    receipts = [receipt async for receipt in store.all_receipts()]
    recorded = [event.metadata["command_id"] for event in (await store.query(Filter.matching_any_event())).events]
    assert sorted(recorded) == sorted(str(receipt.key) for receipt in receipts)
    return set(recorded)


class Stage(AsyncExitStack):
    """A worker whose appends wait for as long as the ``async with`` lasts, or until they are let go."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._lock = AsyncExitStack()

    async def worker(self, vhost: str, **variables: str) -> WorkerProcess:
        """Start the worker, and wait until it has something to wait for."""
        admin = await self.enter_async_context(connected(self._database.admin_url))
        await self._lock.enter_async_context(head_locked(self._database.admin_url))
        worker = await self.enter_async_context(WorkerProcess.running(self._database.url, vhost, **SMALL, **variables))
        self.push_async_exit(self._lock)
        await waiting(admin, 1)
        return worker

    async def release(self) -> None:
        await self._lock.aclose()


async def finish(database: Database, vhost: str, client: AmqpClient) -> dict[str, int]:
    """Have another worker do the rest."""
    rest = await client.ready(QUEUES.queue)
    async with PostgresEventStore.connect(database.url) as store, serving(store, vhost) as service:
        await settled(service, rest)
        return service.counters.report()


async def went_back(client: AmqpClient) -> None:
    """Wait until all is back in the queue that cannot have started."""

    async def is_back() -> bool:
        return await client.ready(QUEUES.queue) >= COMMANDS - 4

    await eventually(is_back, what="what has not started to go back")


async def test_what_has_started_finishes_and_what_has_not_goes_back(
    store: PostgresEventStore, database: Database, vhost: str, client: AmqpClient, ids: set[str]
) -> None:
    async with Stage(database) as stage:
        worker = await stage.worker(vhost)
        worker.signal()
        await worker.logged("draining")
        await went_back(client)
        # What has started still waits for the database.
        assert await answered(store) == set()
        await stage.release()
        assert await worker.status() == 0
        assert worker.messages[-1].startswith("drained: ")
        report = worker.report()
    first = await answered(store)
    assert 0 < len(first) <= 4
    assert report["received"] == report["accepted"] + report["returned"]
    assert (report["accepted"], report["in_flight"]) == (len(first), 0)
    await client.holds(QUEUES.queue, COMMANDS - len(first))
    rest = await finish(database, vhost, client)
    assert (rest["accepted"], rest["duplicate"]) == (COMMANDS - len(first), 0)
    assert await answered(store) == ids


async def test_a_second_signal_stops_at_once_and_loses_nothing(
    store: PostgresEventStore, database: Database, vhost: str, client: AmqpClient, ids: set[str]
) -> None:
    async with Stage(database) as stage:
        worker = await stage.worker(vhost)
        worker.signal()
        await worker.logged("draining")
        await went_back(client)
        worker.signal()
        # Although nothing that has started can finish.
        assert await worker.status() == 1
        assert worker.messages[-1].startswith("stopped before everything had finished: ")
        report = worker.report()
        assert (report["accepted"], report["returned"], report["in_flight"]) == (0, report["received"], 0)
        await client.holds(QUEUES.queue, COMMANDS)
    # What it had sent to the database may still take effect; then the command is answered from its receipt.
    rest = await finish(database, vhost, client)
    assert rest["accepted"] + rest["duplicate"] == COMMANDS
    assert await answered(store) == ids


async def test_what_does_not_finish_by_the_deadline_is_left_to_others(
    store: PostgresEventStore, database: Database, vhost: str, client: AmqpClient, ids: set[str]
) -> None:
    async with Stage(database) as stage:
        worker = await stage.worker(vhost, WORKER_DRAIN_DEADLINE="0.2")
        worker.signal()
        assert await worker.status() == 1
        assert any("did not finish within 0.2 s" in message for message in worker.messages)
        assert worker.report()["accepted"] == 0
        await client.holds(QUEUES.queue, COMMANDS)
    await finish(database, vhost, client)
    assert await answered(store) == ids


async def test_a_worker_with_nothing_to_do_stops_when_it_is_told(database: Database, vhost: str) -> None:
    async with WorkerProcess.running(database.url, vhost) as worker:
        worker.signal()
        assert await worker.status() == 0
        assert set(worker.report().values()) == {0}


async def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(
    store: PostgresEventStore, database: Database, vhost: str, client: AmqpClient, ids: set[str]
) -> None:
    async with Stage(database) as stage:
        worker = await stage.worker(vhost)
        worker.signal(signal.SIGKILL)
        assert await worker.status() == -signal.SIGKILL
        await client.holds(QUEUES.queue, COMMANDS)
    rest = await finish(database, vhost, client)
    assert rest["accepted"] + rest["duplicate"] == COMMANDS
    assert await answered(store) == ids
