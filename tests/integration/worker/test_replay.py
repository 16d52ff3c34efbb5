"""Replays on real queues: what is sent, what is left, and what becomes of it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from eventstore import EventStream, Filter, TransientStoreError
from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import MARKS, AmqpClient, NotText
from tests.support.dead_letters import (
    GOOD,
    emptied,
    failure_headers,
    letters,
    make_queues,
    opened,
    put_dead_letters,
    replayed,
)
from tests.support.fixtures.vhosts import Management
from tests.support.serving import QUEUES, serving, settled
from worker.amqp.queue_browser import QueueBrowser
from worker.counters import End
from worker.dead_letters.replay import Bounds, discard
from worker.errors import Unroutable

DEAD = QUEUES.dead_queue
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
async def _queues(vhost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A walk ends when the broker counts what was returned, however slow it is just now.
    monkeypatch.setattr("worker.amqp.queue_browser._RETURN_SECONDS", 60.0)
    await make_queues(vhost)


class Passing:
    """Stands in for a store's ``query_many``: the first so many fail as they do when a database has a bad moment."""

    def __init__(self, store: PostgresEventStore, times: int) -> None:
        self._query = store.query_many
        self.left = times

    async def __call__(self, filters: Sequence[Filter], **options: Any) -> list[EventStream]:
        if self.left:
            self.left -= 1
            raise TransientStoreError("a deadlock")
        return await self._query(filters, **options)


async def delivered_too_often(client: AmqpClient) -> None:
    """Have the broker deliver the work queue's only message until it puts it aside by itself."""
    while await client.ready(DEAD) == 0:
        await client.lose(QUEUES.queue)


async def test_a_replayed_letter_is_the_message_that_was_published(vhost: str, client: AmqpClient) -> None:
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    headers = failure_headers(traceparent=parent, shop="kept") | {"causation-id": "visit", "x-death": []}
    sent = {"correlation_id": "visit", "reply_to": client.replies, "priority": 3, "content_type": "application/json"}
    (identity,) = await put_dead_letters(client, 1, headers=headers, **sent)
    assert await replayed(vhost) == 1
    copy = await client.take(QUEUES.queue)
    assert (copy.message_id, copy.type, copy.body) == (identity, "Count", GOOD)
    assert {name: getattr(copy, name) for name in sent} == sent
    told = dict(copy.headers)
    told.pop("x-delivery-count", None)  # RabbitMQ 3 counts a first delivery, as 0
    assert datetime.fromisoformat(str(told.pop("worker-replayed-at"))).tzinfo is not None
    assert told == {"traceparent": parent, "shop": "kept", "causation-id": "visit"}
    assert await client.ready(DEAD) == 0


async def test_a_letter_whose_texts_are_none_can_be_replayed(vhost: str, client: AmqpClient) -> None:
    (identity,) = await put_dead_letters(client, 1, form=NotText, correlation_id=MARKS, app_id=MARKS)
    assert await replayed(vhost) == 1
    assert (await client.take(QUEUES.queue)).message_id == identity
    assert await client.ready(DEAD) == 0


async def test_a_replayed_command_is_decided_once_and_answered(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    put = await put_dead_letters(client, 5, reply_to=client.replies)
    async with serving(store, vhost) as service:
        assert await replayed(vhost) == 5
        answers = await client.answers(5)
        # A copy that was sent by a replay that was killed before it could remove the letter.
        await put_dead_letters(client, 5, reply_to=client.replies)
        assert await replayed(vhost) == 5
        again = await client.answers(5)
        await settled(service, 10)
    assert set(answers) == set(again) == set(put)
    assert {answer["outcome"] for answer in answers.values()} == {"accepted"}
    assert {identity: answer | {"duplicate": True} for identity, answer in answers.items()} == again
    assert service.counters.ends == {End.ACCEPTED: 5, End.DUPLICATE: 5}
    assert len((await store.query(Filter.matching_any_event())).events) == 5


async def test_from_the_delivery_limit_through_a_replay_and_a_retry_a_message_arrives(
    store: PostgresEventStore, vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker drops what it takes for a cycle; none of its notes may travel on."""
    identity = await client.put(GOOD, reply_to=client.replies)
    await delivered_too_often(client)
    (letter,) = await letters(vhost)
    assert (letter.message_id, letter.reason, letter.attempts) == (identity, "delivery_limit", 0)
    assert letter.died_at is not None
    assert (letter.error or "").startswith("the broker delivered it again and again")
    monkeypatch.setattr(store, "query_many", Passing(store, 2))
    async with serving(store, vhost) as service:
        assert await replayed(vhost) == 1
        answer = await client.answer()
        await settled(service, 3)
    assert (answer["command_id"], answer["outcome"]) == (identity, "accepted")
    assert service.counters.ends == {End.RETRIED: 2, End.ACCEPTED: 1}
    assert [await client.ready(queue) for queue in (QUEUES.queue, QUEUES.retry_queue, DEAD)] == [0, 0, 0]


async def test_what_dies_again_is_left_and_counts_its_failures_anew(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    put = await put_dead_letters(client, 4, message_type="Explode")
    async with serving(store, vhost) as service:
        assert await replayed(vhost, most=1) == 1
        await client.holds(DEAD, 4)
        assert await replayed(vhost, oldest=3) == 3
        await settled(service, 12)
    found = await letters(vhost)
    assert sorted(str(letter.message_id) for letter in found) == put
    assert [letter.attempts for letter in found] == [3, 3, 3, 3]
    assert all(letter.replayed_at is not None for letter in found)
    assert {letter.headers["worker-handler-failures"] for letter in found} == {3}


async def test_a_replay_does_not_chase_what_it_has_sent(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    await put_dead_letters(client, 3, message_type="Explode")
    async with serving(store, vhost, worker_retry_delay=0.01) as service:
        # A window and a number that would let it go on for long.
        assert await replayed(vhost, oldest=50, most=50) == 3
        await settled(service, 9)
    assert await client.ready(DEAD) == 3


async def test_letters_are_held_for_a_bounded_time_and_the_rest_is_done_in_other_walks(
    vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.dead_letters.replay._HOLD_SECONDS", 0.0)
    walks: list[int] = []

    class Counted(QueueBrowser):
        def __init__(self, wire: Any, queue: str, most: int) -> None:
            super().__init__(wire, queue, most)
            walks.append(most)

    monkeypatch.setattr("worker.amqp.dead_queue.QueueBrowser", Counted)
    put = await put_dead_letters(client, 25)
    assert await replayed(vhost, oldest=20, rate=500) == 20
    # Each is bound by what the first was bound by: what came later is not reached.
    assert walks == list(range(20, -1, -1))
    assert [each.message_id for each in await emptied(client, QUEUES.queue, 20)] == put[:20]
    assert [letter.message_id for letter in await letters(vhost)] == put[20:]


async def test_letters_that_come_later_are_not_touched(vhost: str, client: AmqpClient) -> None:
    put = await put_dead_letters(client, 5)
    assert await replayed(vhost, oldest=3) == 3
    assert [letter.message_id for letter in await letters(vhost)] == put[3:]


async def test_without_a_work_queue_nothing_is_lost(vhost: str, client: AmqpClient) -> None:
    put = await put_dead_letters(client, 100)
    await client.delete(QUEUES.queue)
    with pytest.raises(Unroutable, match=r"no queue takes messages for tally\.commands"):
        await replayed(vhost)
    await client.holds(DEAD, 100)
    assert [letter.message_id for letter in await letters(vhost)] == put


async def test_what_is_discarded_is_gone_and_the_rest_is_not(vhost: str, client: AmqpClient) -> None:
    put = await put_dead_letters(client, 100)
    gone = {put[0], put[50], put[99]}
    async with opened(vhost) as queue:
        bounds = Bounds(oldest=100, most=100)
        assert await discard(queue, lambda each: each.message_id in gone, bounds, progress=lambda: None) == 3
    assert [letter.message_id for letter in await letters(vhost)] == [each for each in put if each not in gone]
    assert await client.ready(QUEUES.queue) == 0


async def test_a_message_without_an_id_does_not_become_a_command(
    store: PostgresEventStore, management: Management, vhost: str, client: AmqpClient
) -> None:
    # The client library gives every message an id; the management interface does not.
    message = {
        "properties": {"type": "Count"},
        "routing_key": "tally",
        "payload": GOOD.decode(),
        "payload_encoding": "string",
    }
    path = f"/api/exchanges{urlsplit(vhost).path}/commands/publish"
    assert await asyncio.to_thread(management.request, "POST", path, message) == {"routed": True}
    async with serving(store, vhost) as service:
        await settled(service, 1)
    (letter,) = await letters(vhost)
    assert (letter.reason, letter.has_own_id) == ("missing_message_id", False)
    assert await replayed(vhost) == 0
    assert [found.message_id for found in await letters(vhost)] == [letter.message_id]
    assert await client.ready(QUEUES.queue) == 0
