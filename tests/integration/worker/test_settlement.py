"""The settlement table on real queues: answers, retries, and what a retried message carries with it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from eventstore import Event, EventStream, Filter, TransientStoreError
from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import MARKS, AmqpClient, NotText
from tests.support.serving import QUEUES, serving, settled
from worker.counters import End
from worker.publisher import Publisher

A = b'{"Key": "a"}'


class Rival:
    """Stands in for a store's ``query_many``: so many times, somebody else is faster than whoever decides."""

    def __init__(self, store: PostgresEventStore, times: int) -> None:
        self._store = store
        self._query = store.query_many
        self.left = times

    async def __call__(self, filters: Sequence[Filter], **options: Any) -> list[EventStream]:
        streams = await self._query(filters, **options)
        if self.left:
            self.left -= 1
            await self._store.append([Event(type="Forgotten", payload={"Key": "a"})])
        return streams


@asynccontextmanager
async def taken() -> AsyncIterator[None]:
    """Stands in for a store's ``exclusive``: others always have the lock."""
    raise TransientStoreError("the lock was not had")
    yield


async def test_every_answer_is_acknowledged_and_told(store: PostgresEventStore, vhost: str, client: AmqpClient) -> None:
    async with serving(store, vhost) as service:
        asked = [("Count", b'{"Key": "a", "Limit": 1}'), ("Count", b'{"Key": "a", "Limit": 1}'), ("CountOnce", A)]
        outcomes = []
        for kind, body in asked:
            command_id = await client.put(body, message_type=kind, reply_to=client.replies, correlation_id="visit")
            reply = await client.take(client.replies)
            answer = json.loads(reply.body)
            assert (answer["command_id"], reply.correlation_id) == (command_id, "visit")
            assert reply.content_type == "application/json"
            outcomes.append((answer["outcome"], answer["reason"], answer["first"], answer["last"]))
        assert outcomes == [
            ("accepted", None, 1, 1),
            ("rejected", "limit reached", 2, 2),
            ("unchanged", None, None, None),
        ]
        # A command that wants no answer is settled as well.
        await client.put(b'{"Key": "b"}')
        await settled(service, 4)
    assert service.counters.ends == {End.ACCEPTED: 2, End.REJECTED: 1, End.UNCHANGED: 1}
    assert [await client.ready(queue) for queue in (QUEUES.queue, QUEUES.retry_queue, QUEUES.dead_queue)] == [0, 0, 0]


async def test_a_message_that_comes_three_times_has_one_effect(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    command_id = str(uuid4())
    async with serving(store, vhost) as service:
        await asyncio.gather(*(client.put(A, message_id=command_id, reply_to=client.replies) for _ in range(3)))
        answers = [await client.answer() for _ in range(3)]
        await settled(service, 3)
    assert sorted(answer.pop("duplicate") for answer in answers) == [False, True, True]
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0]["outcome"], answers[0]["first"]) == ("accepted", 1)
    assert len([receipt async for receipt in store.all_receipts()]) == 1
    assert len((await store.query(Filter.matching_any_event())).events) == 1
    assert service.counters.ends == {End.ACCEPTED: 1, End.DUPLICATE: 2}


async def test_a_handlers_bug_is_tried_three_times_and_shown_with_its_traceback(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher
) -> None:
    before = datetime.now(UTC)
    async with serving(store, vhost) as service:
        command_id = await client.put(
            A, message_type="Explode", reply_to=client.replies, headers={"x-mine": 1, "traceparent": "kept"}
        )
        letter = await client.take(QUEUES.dead_queue)
        answer = await client.answer()
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
    assert (letter.message_id, letter.body, letter.type) == (command_id, A, "Explode")
    headers = dict(letter.headers)
    error = str(headers.pop("worker-error"))
    assert re.fullmatch(r"ZeroDivisionError in decide_explode \(.*/tally\.py:\d+\): a exploded at 0", error)
    assert 'raise ZeroDivisionError(f"{command.key} exploded' in str(headers.pop("worker-traceback"))
    first = datetime.fromisoformat(str(headers.pop("worker-first-failure")))
    last = datetime.fromisoformat(str(headers.pop("worker-failed-at")))
    assert timedelta() <= first - before <= last - before < timedelta(minutes=1)
    # The broker put a death and a delivery count on it on its way; only its arrival here counts anew.
    headers.pop("x-delivery-count", None)
    assert headers == {
        "traceparent": "kept",
        "worker-withheld-headers": {"x-mine": 1},
        "worker-attempts": 3,
        "worker-handler-failures": 3,
        "worker-reason": "handler_error",
        "worker-queue": QUEUES.queue,
    }
    assert (answer["outcome"], answer["reason"]) == ("failed", f"handler_error: {error}")
    assert service.counters.ends == {End.RETRIED: 2, End.DEAD_LETTERED: 1, End.ACCEPTED: 1}
    assert dict(service.counters.dead_letters) == {"handler_error": 1}
    assert await client.ready(QUEUES.retry_queue) == 0


async def test_a_command_rests_in_the_retry_queue_with_its_history(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    async with serving(store, vhost, worker_retry_delay=60) as service:
        command_id = await client.put(A, message_type="Explode", headers={"x-death": "never"}, priority=3)
        await settled(service, 1)
        resting = await client.take(QUEUES.retry_queue)
    assert (resting.message_id, resting.body, resting.priority) == (command_id, A, 3)
    assert resting.expiration == 60
    assert (resting.headers["worker-attempts"], resting.headers["worker-reason"]) == (1, "handler_error")
    assert "x-death" not in resting.headers


async def test_conflicts_are_tried_again_at_once(
    store: PostgresEventStore, vhost: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "query_many", Rival(store, 2))
    async with serving(store, vhost, worker_conflict_attempts=3) as service:
        reply = await publisher.request("tally", "Count", {"Key": "a"})
    assert (reply.outcome, reply.first) == ("accepted", 3)
    assert (service.counters.attempts, service.counters.conflicts) == (3, 2)
    assert service.counters.ends == {End.ACCEPTED: 1}


async def test_a_command_that_loses_again_and_again_takes_the_lock_and_cannot_lose(
    store: PostgresEventStore, vhost: str, publisher: Publisher, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whenever its boundary is read without the lock, somebody else is faster.
    rival = Rival(store, 1_000_000)
    monkeypatch.setattr(store, "query_many", rival)
    # However slow this machine is just now, the lock is had, and used in time.
    monkeypatch.setattr(store, "exclusive", partial(store.exclusive, limit=10.0, patience=60.0))
    async with serving(store, vhost, worker_conflict_attempts=2) as service:
        reply = await publisher.request("tally", "Count", {"Key": "a"})
        await settled(service, 1)
        assert await client.ready(QUEUES.dead_queue) == 0
    # It lost twice; then the rival struck once more, between the read that catches up and the lock.
    assert (reply.outcome, reply.first, reply.duplicate) == ("accepted", 4, False)
    assert (service.counters.attempts, service.counters.conflicts, service.counters.holds) == (3, 2, 1)
    assert service.counters.ends == {End.ACCEPTED: 1}


async def test_a_lock_that_is_never_had_sends_a_command_on_until_the_maximum_age(
    store: PostgresEventStore, vhost: str, publisher: Publisher, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = Rival(store, 1_000_000)
    monkeypatch.setattr(store, "query_many", rival)
    monkeypatch.setattr(store, "exclusive", taken)
    async with serving(store, vhost, worker_conflict_attempts=1, worker_max_age=0.2) as service:
        reply = await publisher.request("tally", "Count", {"Key": "a"})
        letter = await client.take(QUEUES.dead_queue)
        rival.left = 0
        # Under another key: a replica may not have the rival's last event yet, which would be one more conflict.
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"
    assert (reply.outcome, letter.headers["worker-reason"]) == ("failed", "store_transient")
    assert "the lock was not had" in str(letter.headers["worker-error"])
    assert letter.headers["worker-attempts"] == service.counters.ends[End.RETRIED] + 1
    assert letter.headers["worker-handler-failures"] == 0
    assert "worker-traceback" not in letter.headers


async def test_a_reply_to_a_queue_that_is_gone_changes_nothing_else(
    store: PostgresEventStore, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    async with serving(store, vhost) as service:
        await client.put(A, reply_to="gone")
        await client.put(b"{}", reply_to="gone")
        await settled(service, 2)
        assert service.counters.failed_replies == 2
        assert (await publisher.request("tally", "CountOnce", {"Key": "a"})).outcome == "unchanged"
    assert service.counters.ends == {End.ACCEPTED: 1, End.DEAD_LETTERED: 1, End.UNCHANGED: 1}
    assert await client.ready(QUEUES.queue) == 0


async def test_what_is_no_text_is_answered_or_put_aside_at_its_first_delivery(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    async with serving(store, vhost) as service:
        await client.put(A, form=NotText, correlation_id=MARKS, reply_to=client.replies)
        assert (await client.answer())["outcome"] == "accepted"
        await client.put(A, form=NotText, reply_to=MARKS)
        await client.put(A, form=NotText, message_id=MARKS, message_type=MARKS, app_id=MARKS)
        letter = await client.take(QUEUES.dead_queue)
        await settled(service, 3)
    assert service.counters.ends == {End.ACCEPTED: 2, End.DEAD_LETTERED: 1}
    assert service.counters.failed_replies == 1
    assert letter.headers["worker-reason"] == "malformed_message_id"
    # As many marks as there is room for.
    assert letter.message_id == letter.type == letter.app_id == "\N{REPLACEMENT CHARACTER}" * 85


async def test_a_sender_who_can_be_told_is_told_at_once_whatever_its_message_lacks(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher
) -> None:
    async with serving(store, vhost) as service:
        identity = uuid4()
        reply = await publisher.request("tally", "", {"Key": "a"}, command_id=identity)
        assert (reply.command_id, reply.outcome) == (identity, "failed")
        assert (reply.reason or "").startswith("missing_type: ")
        await client.put(A, message_id="no UUID", reply_to=client.replies, correlation_id="visit")
        answer = await client.take(client.replies)
        assert answer.correlation_id == "visit"
        assert json.loads(answer.body)["reason"].startswith("malformed_message_id: ")
        await client.put(A, content_encoding="gzip", reply_to=client.replies)
        assert (await client.answer())["reason"].startswith(
            "unsupported_encoding: the body's content_encoding is 'gzip'"
        )
        await client.put(b"\xef\xbb\xbf" + A, reply_to=client.replies)
        assert (await client.answer())["outcome"] == "accepted"
        await settled(service, 4)
    reasons = {"missing_type": 1, "malformed_message_id": 1, "unsupported_encoding": 1}
    assert dict(service.counters.dead_letters) == reasons
