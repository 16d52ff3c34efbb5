"""Messages that kill the process that decides them: found, and kept from their neighbours."""

import asyncio
import errno
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventstore import Filter
from eventstore.postgres import PostgresEventStore
from tests.integration.worker.probes import answers
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.ports import free_port
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, serving, settled, settlers
from tests.support.worker_process import WorkerProcess
from worker.amqp.declaration import declare
from worker.counters import End
from worker.publisher import Publisher
from worker.service import Service
from worker.supervision.stop_times import StopTimes

DOMAIN = "tests.integration.worker.troubles:domain"
POISON = {"worker-suspect": True}
GOOD = 30


@pytest.fixture
async def service(store: PostgresEventStore, database: Database, vhost: str) -> AsyncIterator[Service]:
    """A worker in this process, whose poison messages go to one of their own."""
    async with serving(store, vhost, database_url=database.url, worker_domains=DOMAIN) as service:
        yield service


def process_of(service: Service) -> int:
    """The process that decides poison messages now."""
    process = service._stores[0]._isolator._process
    assert process is not None
    return process.pid


def of_kernel(process: int, what: str) -> str:
    """What the kernel tells of a process; nothing of one that is gone."""
    try:
        return Path(f"/proc/{process}/{what}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_there(process: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    return of_kernel(process, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])


async def gone(process: int) -> None:
    async def is_gone() -> bool:
        return not is_there(process)

    await eventually(is_gone, what=f"process {process} to end")


async def asked(client: AmqpClient, body: bytes, kind: str = "Count", **properties: Any) -> dict[str, Any]:
    """Put a message that may be poison, and return the answer."""
    await client.put(body, message_type=kind, reply_to=client.replies, headers=POISON, **properties)
    return await client.answer()


async def test_a_poison_ends_in_the_dead_letters_and_its_neighbours_are_answered(
    database: Database, vhost: str, client: AmqpClient, publisher: Publisher
) -> None:
    await declare(client.channel, QUEUES)
    good = [b'{"Key": "k%d"}' % n for n in range(GOOD)]
    ids = {await client.put(body, reply_to=client.replies) for body in good[: GOOD // 2]}
    poison = await client.put(b'{"Key": "p", "Signal": %d}' % signal.SIGSEGV, message_type="Crash")
    ids |= {await client.put(body, reply_to=client.replies) for body in good[GOOD // 2 :]}
    port = free_port()
    async with WorkerProcess.running(
        database.url, vhost, "--processes", "2", WORKER_DOMAINS=DOMAIN, WORKER_HEALTH_PORT=str(port)
    ) as worker:
        # Five processes start for it, one after another; on a busy machine, each takes ten seconds and more.
        dead = await client.take(QUEUES.dead_queue, seconds=100)
        assert (dead.message_id, dead.headers["worker-reason"]) == (poison, "killed_its_process")
        assert dead.headers["worker-error"] == (
            "the process that decided it was ended by SIGSEGV, and the next one that did was ended by SIGSEGV"
        )
        # Some are answered a second time, from their receipts.
        answered: dict[str, dict[str, Any]] = {}
        while answered.keys() != ids:
            answered |= await client.answers(1)
        assert {answer["outcome"] for answer in answered.values()} == {"accepted"}
        await answers(port, live=True, ready=True)
        assert (await publisher.request("tally", "Count", {"Key": "after"})).outcome == "accepted"
        await client.holds(QUEUES.queue, 0)
        assert await client.ready(QUEUES.dead_queue) == 0
        crashes = [message for message in worker.messages if "was ended by SIGSEGV; starting another" in message]
        # The broker hands it out twice before it counts as poison.
        assert len(crashes) == 2
        worker.signal()
        assert await worker.status() == 0


async def test_what_may_be_poison_is_answered_like_all_others(
    store: PostgresEventStore, service: Service, client: AmqpClient
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    one = b'{"Key": "a", "Limit": 1}'
    traced = {**POISON, "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    first = await client.put(one, reply_to=client.replies, headers=traced)
    assert (await client.answer())["outcome"] == "accepted"
    process = process_of(service)
    assert of_kernel(process, "oom_score_adj") == "1000\n"
    assert (await asked(client, one))["reason"] == "limit reached"
    assert (await asked(client, one, "CountOnce"))["outcome"] == "unchanged"
    again = await asked(client, one, message_id=first)
    assert (again["outcome"], again["duplicate"], again["first"]) == ("accepted", True, 1)
    # One process has decided them all, and the worker itself none.
    assert process_of(service) == process
    await settled(service, 4)
    assert service.counters.ends == {End.ACCEPTED: 1, End.REJECTED: 1, End.UNCHANGED: 1, End.DUPLICATE: 1}
    assert service.counters.attempts == 4
    assert service.kept_states == 0
    event = (await store.query(Filter.matching_any_event())).events[0]
    assert event.metadata["traceparent"].split("-")[1] == trace
    assert event.metadata["command_id"] == first


async def test_a_bug_is_a_bug_and_the_message_still_may_be_poison(
    store: PostgresEventStore, database: Database, vhost: str, client: AmqpClient
) -> None:
    await declare(client.channel, QUEUES)
    await client.put(b'{"Key": "a"}', message_type="Explode")
    work = await client.channel.get_queue(QUEUES.queue, ensure=False)
    for _ in range(2):
        taken = await work.get()
        assert taken is not None
        await taken.reject(requeue=True)
    async with serving(store, vhost, database_url=database.url, worker_domains=DOMAIN) as service:
        dead = await client.take(QUEUES.dead_queue)
        await settled(service, 3)
    assert dead.headers["worker-reason"] == "handler_error"
    assert re.fullmatch(
        r"ZeroDivisionError in decide_explode \(.*tally.py:\d+\): a exploded at 0", str(dead.headers["worker-error"])
    )
    assert "in decide_explode" in str(dead.headers["worker-traceback"])
    assert dead.headers["worker-handler-failures"] == 3
    assert service.counters.ends == {End.RETRIED: 2, End.DEAD_LETTERED: 1}
    # The copies that were retried begin the broker's count anew.
    assert dead.headers["worker-suspect"] is True
    assert service.kept_states == 0


@pytest.mark.parametrize("message", [b"no JSON", b'{"Key": 5}'])
async def test_what_makes_no_sense_is_told_so(service: Service, client: AmqpClient, message: bytes) -> None:
    await client.put(message, headers=POISON)
    assert (await client.take(QUEUES.dead_queue)).headers["worker-reason"] in {"not_json", "invalid_command"}
    await settled(service, 1)


async def test_a_process_that_dies_between_messages_is_nobodys_doing(service: Service, client: AmqpClient) -> None:
    assert (await asked(client, b'{"Key": "a"}'))["outcome"] == "accepted"
    process = process_of(service)
    os.kill(process, signal.SIGKILL)
    await gone(process)
    assert (await asked(client, b'{"Key": "b"}'))["outcome"] == "accepted"
    await settled(service, 2)
    assert service.counters.ends == {End.ACCEPTED: 2}


@pytest.mark.parametrize("refused", ["create_subprocess_exec", "open_unix_connection"])
async def test_a_process_that_cannot_be_started_is_nobodys_doing(
    service: Service, client: AmqpClient, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    allowed = getattr(asyncio, refused)
    refusals = [OSError(number, os.strerror(number)) for number in (errno.ENOMEM, errno.EAGAIN, errno.EMFILE)]

    async def refuse(*arguments: Any, **options: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return await allowed(*arguments, **options)

    monkeypatch.setattr(asyncio, refused, refuse)
    # More often than a handler's bug would be tried again.
    assert (await asked(client, b'{"Key": "a"}'))["outcome"] == "accepted"
    await settled(service, 4)
    assert service.counters.ends == {End.ACCEPTED: 1, End.RETRIED: 3}


async def test_a_process_that_is_told_to_stop_by_others_goes_on(service: Service, client: AmqpClient) -> None:
    assert (await asked(client, b'{"Key": "a"}'))["outcome"] == "accepted"
    process = process_of(service)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(process, number)
    assert (await asked(client, b'{"Key": "b"}'))["outcome"] == "accepted"
    assert process_of(service) == process


async def test_no_other_message_waits_for_poison(
    service: Service, client: AmqpClient, publisher: Publisher, tmp_path: Path
) -> None:
    until = tmp_path / "until"
    slow = b'{"Key": "a", "Until": "%s"}' % str(until).encode()
    await client.put(slow, message_type="Compute", reply_to=client.replies, headers=POISON)
    # More than may run at the same time; they wait for each other alone.
    for n in range(5):
        await client.put(b'{"Key": "s%d"}' % n, reply_to=client.replies, headers=POISON)
    assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"
    await settled(service, 1)
    assert service.counters.ends == {End.ACCEPTED: 1}
    until.touch()
    assert len(await client.answers(6)) == 6


async def test_a_drain_that_cannot_wait_ends_the_process_too(service: Service, client: AmqpClient) -> None:
    assert (await asked(client, b'{"Key": "a"}'))["outcome"] == "accepted"
    process = process_of(service)
    # A broker on a busy machine takes a moment to answer that it delivers no more.
    service.stop_times = StopTimes(drain=5.0)
    await client.put(b'{"Key": "b", "Until": "/never"}', message_type="Compute", headers=POISON)

    async def has_begun() -> bool:
        return settlers(service)[0]._poison._running is not None

    await eventually(has_begun, what="the message to be decided")
    assert await service.drain() == 1
    await gone(process)
    assert service.counters.ends == {End.ACCEPTED: 1, End.RETURNED: 1}


async def test_a_process_whose_worker_is_killed_does_not_live_on(
    database: Database, vhost: str, client: AmqpClient, tmp_path: Path
) -> None:
    async with WorkerProcess.running(database.url, vhost, WORKER_DOMAINS=DOMAIN) as worker:
        begun = tmp_path / "begun"
        body = b'{"Key": "b", "Until": "/never", "Begun": "%s"}' % str(begun).encode()
        await client.put(body, message_type="Compute", headers=POISON)

        async def computes() -> bool:
            return begun.exists()

        await eventually(computes, what="the message to be decided")
        pid = worker._process.pid
        found = [int(process) for process in of_kernel(pid, f"task/{pid}/children").split()]
        assert found
        worker.signal(signal.SIGKILL)
        assert await worker.status() == -signal.SIGKILL
    for process in found:
        await gone(process)
