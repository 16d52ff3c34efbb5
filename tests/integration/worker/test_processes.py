"""``worker run --processes``: real worker processes that crash, are stopped, or lose their supervisor."""

import os
import re
import signal
from contextlib import AsyncExitStack

import pytest

from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.integration.worker.probes import answers
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.ports import free_port
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES
from tests.support.worker_process import WorkerProcess
from worker.publisher import Publisher

TWO = ("--processes", "2")


async def pid(worker: WorkerProcess, number: int, *, starts: int = 1) -> int:
    """Wait until a process consumes, after so many starts, and return its id."""

    def found() -> list[str]:
        pattern = re.compile(rf"worker {number} \(process (\d+)\): consuming; ")
        return [match[1] for message in worker.messages if (match := pattern.match(message))]

    async def consumes() -> bool:
        return len(found()) == starts

    await eventually(consumes, what=f"worker {number} to consume")
    return int(found()[-1])


async def consumers(client: AmqpClient, count: int) -> None:
    async def are_there() -> bool:
        return await client.consumers(QUEUES.queue) == count

    await eventually(are_there, what=f"{count} consumers")


async def test_a_process_that_is_killed_is_started_again(
    database: Database, vhost: str, client: AmqpClient, publisher: Publisher
) -> None:
    port = free_port()
    async with WorkerProcess.running(
        database.url, vhost, *TWO, WORKER_HEALTH_PORT=str(port), WORKER_HEALTH_GRACE="0"
    ) as worker:
        first, second = await pid(worker, 1), await pid(worker, 2)
        await answers(port, live=True, ready=True, reason="2 processes are consuming")
        await consumers(client, 2)
        os.kill(second, signal.SIGKILL)
        await answers(port, live=False, ready=False, reason="worker 2: it was ended by SIGKILL")
        await worker.logged(f"worker 2 (process {second}) was ended by SIGKILL; starting another in ")
        assert await pid(worker, 2, starts=2) not in {first, second}
        await answers(port, live=True, ready=True)
        await consumers(client, 2)
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        worker.signal()
        assert await worker.status() == 0
    assert worker.messages[-1] == "2 of 2 worker processes drained completely"
    assert len([message for message in worker.messages if message.startswith("drained: ")]) == 2


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGINT])
async def test_all_who_are_told_together_finish_what_has_started(
    store: PostgresEventStore, database: Database, vhost: str, client: AmqpClient, signalled: signal.Signals
) -> None:
    async with AsyncExitStack() as stack, connected(database.admin_url) as admin:
        await stack.enter_async_context(head_locked(database.admin_url))
        async with WorkerProcess.running(database.url, vhost, *TWO) as worker:
            processes = [await pid(worker, number) for number in (1, 2)]
            ids = {await client.put(b'{"Key": "k%d"}' % n) for n in range(10)}
            await waiting(admin, 2)
            # As a service manager does it. The supervisor's word is no second signal.
            for process in processes:
                os.kill(process, signalled)
            worker.signal(signalled)
            await worker.logged("draining", times=2)
            await stack.aclose()
            assert await worker.status() == 0
    answered = {str(receipt.key) async for receipt in store.all_receipts()}
    assert answered
    assert answered <= ids
    await client.holds(QUEUES.queue, len(ids) - len(answered))


async def test_a_second_signal_stops_all_at_once(database: Database, vhost: str, client: AmqpClient) -> None:
    async with (
        connected(database.admin_url) as admin,
        head_locked(database.admin_url),
        WorkerProcess.running(database.url, vhost, *TWO) as worker,
    ):
        await pid(worker, 2)
        ids = {await client.put(b'{"Key": "k%d"}' % n) for n in range(10)}
        await waiting(admin, 2)
        worker.signal(signal.SIGINT)
        await worker.logged("draining", times=2)
        worker.signal(signal.SIGINT)
        assert await worker.status() == 1
        assert worker.messages[-1] == "0 of 2 worker processes drained completely"
        await client.holds(QUEUES.queue, len(ids))


async def test_processes_whose_supervisor_is_killed_drain_and_end(
    database: Database, vhost: str, client: AmqpClient
) -> None:
    async with WorkerProcess.running(database.url, vhost, *TWO) as worker:
        await pid(worker, 2)
        worker.signal(signal.SIGKILL)
        # Their output ends with them.
        assert await worker.status() == -signal.SIGKILL
    assert worker.messages.count("the supervisor has ended") == 2
    assert len([message for message in worker.messages if message.startswith("drained: ")]) == 2
    await consumers(client, 0)


async def test_a_process_that_is_told_to_stop_by_others_is_replaced(database: Database, vhost: str) -> None:
    async with WorkerProcess.running(database.url, vhost, *TWO) as worker:
        first = await pid(worker, 1)
        os.kill(first, signal.SIGTERM)
        await worker.logged(f"worker 1 (process {first}) ended with exit status 0; starting another in ")
        await pid(worker, 1, starts=2)
        worker.signal()
        assert await worker.status() == 0
