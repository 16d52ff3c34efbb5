"""What the broker refuses for good costs that message, and no other: neither a copy nor a publish."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import AmqpClient
from tests.support.dead_letters import letters, replayed
from tests.support.fixtures.brokers import RabbitInTurn
from tests.support.serving import QUEUES, serving, settled
from worker.amqp.declaration import declare
from worker.counters import End
from worker.errors import MessageRefused
from worker.publisher import Publisher

LIMIT = 128 * 1024
LARGE = b'{"Key": "a", "Pad": "%s"}' % (b"k" * 2 * LIMIT)
NEIGHBOURS = 100


@pytest.fixture
async def own_desk(breakable_broker: RabbitInTurn) -> AsyncIterator[AmqpClient]:
    async with AmqpClient.open(breakable_broker.url) as client:
        await declare(client.channel, QUEUES)
        yield client


async def limit(broker: RabbitInTurn, size: int) -> None:
    """Set the largest message that is taken, as an upgrade to RabbitMQ 4 does."""
    await asyncio.to_thread(broker.take_at_most, size)


@pytest.mark.parametrize(("command", "reason"), [("Unknown", "unknown_command"), ("Explode", "handler_error")])
async def test_a_message_of_which_no_copy_is_taken_is_put_aside_by_the_broker(
    breakable_broker: RabbitInTurn, own_desk: AmqpClient, store: PostgresEventStore, command: str, reason: str
) -> None:
    """Whether it was to be retried or to be a dead letter."""
    ids = [await own_desk.put(LARGE, message_type=command, reply_to=own_desk.replies) for _ in range(3)]
    await limit(breakable_broker, LIMIT)
    async with serving(store, breakable_broker.url) as service:
        for n in range(NEIGHBOURS):
            await own_desk.put(b'{"Key": "k%d"}' % n, reply_to=own_desk.replies)
        answers = await own_desk.answers(len(ids) + NEIGHBOURS)
        await settled(service, len(ids) + NEIGHBOURS)
        assert service.health().ready
    assert service.counters.ends == {End.DEAD_LETTERED: 3, End.ACCEPTED: NEIGHBOURS}
    assert service.counters.dead_letters == {"refused_copy": 3}
    assert service.counters.failed_replies == 0
    for command_id in ids:
        answer = answers[command_id]
        assert answer["outcome"] == "failed"
        assert answer["reason"].startswith(f"{reason} (and the broker accepts no copy of the message): ")
    # The broker moves what was rejected some time after that.
    await own_desk.holds(QUEUES.dead_queue, len(ids))
    found = await letters(breakable_broker.url)
    assert sorted(each.message_id or "" for each in found) == sorted(ids)
    assert {(each.reason, each.body) for each in found} == {("rejected", LARGE)}
    assert {await own_desk.ready(queue) for queue in (QUEUES.queue, QUEUES.retry_queue)} == {0}


async def test_a_letter_of_which_no_copy_is_taken_stays_and_the_others_are_replayed(
    breakable_broker: RabbitInTurn, own_desk: AmqpClient
) -> None:
    large = await own_desk.put(LARGE, exchange="", routing_key=QUEUES.dead_queue)
    small = [await own_desk.put(b'{"Key": "a"}', exchange="", routing_key=QUEUES.dead_queue) for _ in range(20)]
    await own_desk.holds(QUEUES.dead_queue, 21)
    await limit(breakable_broker, LIMIT)
    assert await replayed(breakable_broker.url) == len(small)
    assert await own_desk.ready(QUEUES.queue) == len(small)
    assert [each.message_id for each in await letters(breakable_broker.url)] == [large]


async def test_a_publish_that_is_refused_fails_no_other(breakable_broker: RabbitInTurn, own_desk: AmqpClient) -> None:
    await limit(breakable_broker, LIMIT)
    async with Publisher.connect(breakable_broker.url) as publisher:
        body = {"Key": "a", "Pad": "k" * 2 * LIMIT}
        bad = asyncio.create_task(publisher.publish("tally", "Count", body))
        good = [asyncio.create_task(publisher.publish("tally", "Count", {"Key": "a"})) for _ in range(49)]
        assert len(await asyncio.gather(*good)) == 49
        with pytest.raises(MessageRefused, match="larger than configured max size"):
            await bad
        # Those that were confirmed before the channel was closed may be there twice, each under its id.
        taken = [(await own_desk.take(QUEUES.queue)).message_id for _ in range(await own_desk.ready(QUEUES.queue))]
        assert {each.result() for each in good} == {each.result() for each in good if str(each.result()) in taken}


async def test_a_publisher_sends_nothing_above_its_own_limit(
    breakable_broker: RabbitInTurn, own_desk: AmqpClient
) -> None:
    async with Publisher.connect(breakable_broker.url, max_message_bytes=1000) as publisher:
        with pytest.raises(MessageRefused, match=r"has 1,\d\d\d bytes; at most 1,000 are sent"):
            await publisher.publish("tally", "Count", {"Key": "k" * 1000})
        with pytest.raises(MessageRefused, match="do not fit into one frame"):
            await publisher.publish("tally", "Count", {"Key": "a"}, affinity_key="k" * 200_000)
        with pytest.raises(MessageRefused, match="cannot be sent: string exceeds maximum length of 255 bytes"):
            await publisher.publish("tally", "C" * 300, {"Key": "a"})
        identity = uuid4()
        await publisher.publish("tally", "Count", {"Key": "a"}, command_id=identity)
    assert (await own_desk.take(QUEUES.queue)).message_id == str(identity)
