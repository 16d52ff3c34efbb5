"""What is published under one key is recorded in that order, whatever its commands wait for and whoever dies."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NoReturn
from uuid import UUID

import pytest

from eventstore.postgres import PostgresEventStore
from tests.integration.worker.shards import SHARDED, all_consumed, decided
from tests.support.amqp_client import AmqpClient
from tests.support.domains.notes import domain
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import Hold, serving_domain, settled
from tests.support.worker_process import WorkerProcess
from worker.amqp.declaration import declare
from worker.counters import End
from worker.errors import IsolationFailed
from worker.isolation.isolator import Isolator
from worker.publisher import Publisher
from worker.service import Service

NOTES = "tests.support.domains.notes:domain"
TROUBLES = "tests.integration.worker.sharded_troubles:domain"
KEYS = [f"k{n}" for n in range(12)]


@pytest.fixture
async def service(store: PostgresEventStore, vhost: str) -> AsyncIterator[Service]:
    async with serving_domain(domain, store, vhost, worker_concurrency=64) as service:
        yield service


async def note(publisher: Publisher, key: str, about: str | None = None) -> UUID:
    """Publish a note; one about a topic that nothing was noted about has to be read for."""
    if about is None:
        return await publisher.publish("tally", "Note", {"Key": key}, affinity_key=key)
    return await publisher.publish("tally", "NoteAbout", {"Key": key, "About": about}, affinity_key=key)


async def notes(publisher: Publisher, keys: Iterable[str], *, each: int) -> dict[str, list[UUID]]:
    """Publish notes of each key, one after another, every third about something new; return their ids in this order."""

    async def of(key: str) -> list[UUID]:
        return [await note(publisher, key, None if n % 3 else f"{key}/{n}") for n in range(each)]

    keys = list(keys)
    return dict(zip(keys, await asyncio.gather(*map(of, keys)), strict=True))


async def test_a_command_that_is_read_for_is_not_overtaken_by_its_key(
    store: PostgresEventStore, service: Service, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, list[UUID]] = {"a": [], "b": []}
    for each in (1, 2):  # with a shard's first command, what is known of others is read again
        for key, ids in sent.items():
            ids.append(await note(publisher, key))
        await settled(service, 2 * each)
    hold = Hold(store.query_many)
    monkeypatch.setattr(store, "query_many", hold)
    sent["a"].append(await note(publisher, "a", "something new"))
    await hold.holds(1)
    sent["a"].append(await note(publisher, "a"))
    sent["b"].append(await note(publisher, "b"))
    await settled(service, 5)
    hold.release()
    await decided(store, sent)


async def test_the_order_of_a_key_outlives_the_workers(
    database: Database, store: PostgresEventStore, vhost: str, publisher: Publisher
) -> None:
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(WorkerProcess.running(database.url, vhost, WORKER_DOMAINS=NOTES))
            for _ in range(2)
        ]
        await all_consumed(vhost)
        sending = asyncio.create_task(notes(publisher, KEYS, each=60))
        for count in (100, 300):
            await recorded(store, count)
            workers[0].signal(signal.SIGKILL)
            assert await workers.pop(0).status() == -signal.SIGKILL
            workers.append(
                await stack.enter_async_context(WorkerProcess.running(database.url, vhost, WORKER_DOMAINS=NOTES))
            )
        await decided(store, await sending)


async def test_a_key_waits_for_its_command_that_may_be_poison_and_no_other_does(
    database: Database, store: PostgresEventStore, vhost: str, client: AmqpClient, tmp_path: Path
) -> None:
    until = tmp_path / "until"
    async with WorkerProcess.running(database.url, vhost, WORKER_DOMAINS=TROUBLES):
        suspect = {"worker-suspect": True, "affinity-key": "a"}
        sent = [
            await client.put(
                b'{"Key": "a", "Until": "%s"}' % str(until).encode(), message_type="Compute", headers=suspect
            )
        ]
        sent += [await client.put(b'{"Key": "a"}', headers={"affinity-key": "a"}) for _ in range(3)]
        other = await client.put(b'{"Key": "b"}', reply_to=client.replies, headers={"affinity-key": "b"})
        assert (await client.answer())["command_id"] == other
        assert len([receipt async for receipt in store.all_receipts()]) == 1
        until.touch()
        await decided(store, {"a": list(map(UUID, sent)), "b": [UUID(other)]})


async def test_a_drain_returns_the_commands_behind_one_that_may_be_poison_with_it(
    store: PostgresEventStore, vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise they would be recorded before it is redelivered."""
    ended = asyncio.Event()

    async def decide(*_: object, **_bounds: object) -> NoReturn:
        await ended.wait()
        raise IsolationFailed("the test says so")

    monkeypatch.setattr(Isolator, "decide", decide)
    hold = Hold(store.query_many)
    monkeypatch.setattr(store, "query_many", hold)
    async with serving_domain(domain, store, vhost) as service:
        for key in ("a", "b"):
            suspect = {"worker-suspect": True, "affinity-key": key}
            await client.put(b'{"Key": "%s"}' % key.encode(), message_type="Note", headers=suspect)
        await client.put(b'{"Key": "b"}', message_type="Note", headers={"affinity-key": "b"})
        await hold.holds(1)
        draining = asyncio.create_task(service.drain())
        await settled(service, 2)
        ended.set()
        hold.release()
        assert await draining == 0
    assert service.counters.ends == {End.RETURNED: 2, End.RETRIED: 1}


async def test_only_the_poison_dies_and_what_came_along_keeps_its_order(
    database: Database, store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    await declare(client.channel, SHARDED)
    sent: dict[str, list[UUID]] = {"a": [], "b": []}
    poison = ""
    for n in range(40):
        if n == 20:
            crash = b'{"Key": "a", "Signal": %d}' % signal.SIGKILL
            poison = await client.put(crash, message_type="Crash", headers={"affinity-key": "a"})
        for key, ids in sent.items():
            ids.append(
                UUID(await client.put(b'{"Key": "%s", "Limit": 99}' % key.encode(), headers={"affinity-key": key}))
            )
    async with WorkerProcess.running(database.url, vhost, "--processes", "2", WORKER_DOMAINS=TROUBLES) as worker:
        await decided(store, sent)
        dead = await client.take(SHARDED.dead_queue)
        assert (dead.message_id, dead.headers["worker-reason"]) == (poison, "killed_its_process")
        assert await client.ready(SHARDED.dead_queue) == 0
        # Twice before it is run apart; the innocent ones beside it cost no process.
        assert len([message for message in worker.messages if "was ended by SIGKILL; starting another" in message]) == 2


async def test_a_key_that_comes_by_another_shard_is_told(
    service: Service, client: AmqpClient, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    await note(publisher, "a")
    await settled(service, 1)
    # One of the two is not the key's.
    for n, queue in enumerate(SHARDED.work_queues[:2], start=2):
        await client.put(
            b'{"Key": "a"}', exchange="", routing_key=queue, message_type="Note", headers={"affinity-key": "a"}
        )
        await settled(service, n)
    assert service.counters.misplaced >= 1
    (told,) = [message for message in caplog.messages if message.startswith("commands of one affinity key come by ")]
    assert "only the shards may be bound to commands.tally" in told


async def recorded(store: PostgresEventStore, count: int) -> None:
    """Wait until so many commands are on record."""

    async def are_recorded() -> bool:
        return len([receipt async for receipt in store.all_receipts()]) >= count

    await eventually(are_recorded, what=f"{count} receipts")
