"""Commands that take too long: those that wait are sent on, those that compute are told of."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from eventstore import Filter
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, Hold, received, serving, settled, settlers
from tests.support.worker_process import WorkerProcess
from worker.counters import End
from worker.publisher import Publisher

SHORT = {"worker_handler_timeout": 0.3}
TROUBLES = {"WORKER_DOMAINS": "tests.integration.worker.troubles:domain"}


async def test_what_has_no_answer_in_time_is_sent_on_as_a_failure_of_its_own(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = Hold(store.query_many)
    monkeypatch.setattr(store, "query_many", hold)
    async with serving(store, vhost, **SHORT, worker_retry_delay=60) as service:
        sent = await client.put(b'{"Key": "a"}')
        resting = await client.take(QUEUES.retry_queue)
        assert (resting.message_id, resting.headers["worker-reason"]) == (sent, "handler_timeout")
        assert (resting.headers["worker-attempts"], resting.headers["worker-error"]) == (
            1,
            "there was no answer within 0.3 s",
        )
        await settled(service, 1)
        assert service.counters.ends == {End.RETRIED: 1}
        # From here on, how busy this machine is is no matter.
        (settler,) = settlers(service)
        settler._scheduler._limits._seconds = 60.0
        hold.release()
        # Nobody waits for it any more.
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"


async def test_a_database_that_hangs_pauses_the_worker_and_costs_nobody_an_attempt(
    store: PostgresEventStore, database: Database, vhost: str, client: AmqpClient
) -> None:
    async def is_paused() -> bool:
        return service.is_paused

    async with (
        serving(store, vhost, worker_handler_timeout=3.0) as service,
        connected(database.admin_url) as admin,
    ):
        async with head_locked(database.admin_url):
            ids = {await client.put(b'{"Key": "k%d"}' % n, reply_to=client.replies) for n in range(12)}
            await waiting(admin, 1)
            await eventually(is_paused, what="the worker to pause")
            # The probe waits behind that append. All who have come in are held.
            await received(service, 8)
            assert service.counters.ends == {}
            # From here on, how busy this machine is is no matter.
            (settler,) = settlers(service)
            settler._scheduler._limits._seconds = 60.0
        replies = await client.answers(12)
        await settled(service, 12)
    assert set(replies) == ids
    assert {(reply["outcome"], reply["duplicate"]) for reply in replies.values()} == {("accepted", False)}
    # What had been sent to the database took effect once.
    assert (await store.query(Filter.matching_any_event())).position.number == 12
    assert service.counters.ends == {End.ACCEPTED: 12}


async def test_a_time_limit_of_a_handlers_own_is_a_bug_of_the_handler(
    store: PostgresEventStore, vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def impatient(*_: Any, **__: Any) -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    monkeypatch.setattr(store, "query_many", impatient)
    async with serving(store, vhost, worker_retry_delay=60):
        await client.put(b'{"Key": "a"}')
        assert (await client.take(QUEUES.retry_queue)).headers["worker-reason"] == "handler_error"


async def test_a_decision_that_blocks_the_worker_is_named(
    database: Database, vhost: str, client: AmqpClient, tmp_path: Path
) -> None:
    until = tmp_path / "until"
    async with WorkerProcess.running(database.url, vhost, **TROUBLES) as worker:
        await client.put(b'{"Key": "a", "Until": "%s"}' % str(until).encode(), message_type="Compute")
        told = await worker.logged("the event loop has been blocked for 5 s by Compute in ")
        assert "nothing else runs, and the broker hears no heartbeat" in told
        until.touch()
        await worker.logged("the event loop runs again, after ")
        worker.signal()
        assert await worker.status() == 0
        assert worker.report()["accepted"] == 1
    assert len([message for message in worker.messages if "event loop" in message]) == 2
