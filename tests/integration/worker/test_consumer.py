"""Consuming: bounded, and going on after every interruption."""

import asyncio
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import pytest

from eventstore import Append, EventStoreError, Filter, Receipt
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.support.amqp_client import AmqpClient
from tests.support.connections import close_connections
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, Hold, consuming, interrupted, received, serving, settled
from tests.support.tcp_proxy import proxy
from worker.amqp.declaration import declare
from worker.counters import End
from worker.errors import BrokerMisconfigured
from worker.publisher import Publisher


@pytest.fixture
def hold(store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Keeps every decision waiting for its events."""
    hold = Hold(store.query_many)
    monkeypatch.setattr(store, "query_many", hold)
    return hold


async def recorded(store: PostgresEventStore) -> int:
    return (await store.query(Filter.matching_any_event())).position.number


async def test_no_more_commands_are_decided_at_once_than_allowed(
    store: PostgresEventStore, vhost: str, client: AmqpClient, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[int] = []
    genuine = store.append_chain

    async def watched(appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        rounds.append(len(appends))
        return await genuine(appends)

    monkeypatch.setattr(store, "append_chain", watched)
    await declare(client.channel, QUEUES)
    for n in range(20):
        await client.put(b'{"Key": "k%d"}' % n)
    async with serving(store, vhost, worker_concurrency=3) as service:
        await hold.holds(1)
        # As many as two rounds are on hand, so that nobody waits for the network; the rest is left to other workers.
        await client.holds(QUEUES.queue, 20 - 6)
        hold.release()
        await settled(service, 20)
    assert sum(rounds) == 20
    assert max(rounds) == 3
    assert service.counters.ends == {End.ACCEPTED: 20}


async def test_a_connection_that_the_broker_closes_is_opened_again(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher, management: Management
) -> None:
    async with serving(store, vhost) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        async with interrupted(service):
            await close_connections(management, vhost, "worker tally")
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"
        assert await client.consumers(QUEUES.queue) == 1


async def test_a_consumer_that_the_broker_cancels_begins_again(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher
) -> None:
    async with serving(store, vhost) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        async with interrupted(service):
            await client.delete(QUEUES.queue)
        # The worker has declared its queue again.
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"
        assert await client.consumers(QUEUES.queue) == 1


async def test_a_queue_that_comes_back_with_other_properties_is_consumed_once_it_is_put_right(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    async def is_complained_of() -> bool:
        return "the queues of domain tally exist with other properties" in caplog.text

    async with proxy(vhost) as way, serving(store, way.url) as service, interrupted(service):
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        way.stop()
        await client.delete(QUEUES.queue)
        await client.channel.declare_queue(QUEUES.queue, durable=True, arguments={"x-queue-type": "classic"})
        await way.start()
        await eventually(is_complained_of, what="the worker's complaint")
        assert not service.is_consuming
        await client.delete(QUEUES.queue)
        await consuming(service)
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"


async def test_replies_and_dead_letters_outlive_their_connection(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher, management: Management
) -> None:
    async with serving(store, vhost) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        await close_connections(management, vhost, "worker replies", "worker retries, dead letters")
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"
        await client.put(b"{}")
        assert (await client.take(QUEUES.dead_queue)).headers["worker-reason"] == "invalid_command"
        assert service.counters.failed_replies == 0


async def test_what_is_being_recorded_when_the_channel_closes_has_no_second_effect(
    store: PostgresEventStore, database: Database, vhost: str, client: AmqpClient, management: Management
) -> None:
    async with serving(store, vhost) as service, connected(database.admin_url) as admin:
        async with head_locked(database.admin_url):
            sent = await client.put(b'{"Key": "a"}', reply_to=client.replies)
            await waiting(admin, 1)
            async with interrupted(service):
                await close_connections(management, vhost, "worker tally")
            # The first is still being recorded; the broker has delivered it again.
            await received(service, 2)
            assert service.counters.ends == {}
        answers = [await client.answer(), await client.answer()]
        await settled(service, 2)
        assert service.counters.ends == {End.LOST_CHANNEL: 1, End.DUPLICATE: 1}
    # Its sender sent it once.
    assert answers[0] == answers[1]
    assert (answers[0]["command_id"], answers[0]["outcome"], answers[0]["duplicate"]) == (sent, "accepted", False)
    assert await recorded(store) == 1
    assert await client.ready(QUEUES.queue) == 0


async def test_what_is_not_recorded_yet_when_the_channel_closes_is_decided_for_its_next_delivery(
    store: PostgresEventStore, vhost: str, client: AmqpClient, hold: Hold, management: Management
) -> None:
    async with serving(store, vhost) as service:
        ids = {await client.put(b'{"Key": "k%d"}' % n, reply_to=client.replies) for n in range(2)}
        await received(service, 2)
        await hold.holds(1)
        async with interrupted(service):
            await close_connections(management, vhost, "worker tally")
        await received(service, 4)
        hold.release()
        answers = await client.answers(2)
        await settled(service, 4)
        assert service.counters.ends == {End.LOST_CHANNEL: 2, End.ACCEPTED: 2}
    assert set(answers) == ids
    assert {(answer["outcome"], answer["duplicate"]) for answer in answers.values()} == {("accepted", False)}
    assert await recorded(store) == 2
    assert await client.ready(QUEUES.queue) == 0


async def test_a_broker_that_is_away_for_a_while_is_found_again(
    store: PostgresEventStore, vhost: str, publisher: Publisher
) -> None:
    async with proxy(vhost) as way, serving(store, way.url) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        async with interrupted(service):
            way.stop()
            command_id = await publisher.publish("tally", "Count", {"Key": "b"})
            assert await store.receipt(command_id, scope="tally") is None
            await way.start()
        await settled(service, 2)
        assert (await publisher.request("tally", "CountOnce", {"Key": "b"})).outcome == "unchanged"
        assert await store.receipt(command_id, scope="tally") is not None


async def test_why_the_broker_lets_nobody_in_is_told_once_in_its_own_words(
    store: PostgresEventStore,
    vhost: str,
    publisher: Publisher,
    management: Management,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limit = f"/api/vhost-limits{urlsplit(vhost).path}/max-connections"
    complaint = re.compile(r"cannot consume tally.commands: RabbitMQ at .* refuses connections for now: .*limit \(0\)")

    async def is_told() -> bool:
        return complaint.search(caplog.text) is not None

    async with serving(store, vhost) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        async with interrupted(service):
            await asyncio.to_thread(management.request, "PUT", limit, {"value": 0})
            await close_connections(management, vhost, "worker tally")
            await eventually(is_told, what="the worker's complaint")
            await asyncio.to_thread(management.request, "DELETE", limit)
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"
    assert len(complaint.findall(caplog.text)) == 1
    assert caplog.text.count("consuming tally.commands was interrupted") == 1


async def test_a_worker_does_not_start_on_queues_with_other_properties(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    await client.channel.declare_queue(QUEUES.dead_queue, durable=True, arguments={"x-queue-type": "classic"})
    with pytest.raises(BrokerMisconfigured, match="wait until they are empty, delete them, and start again"):
        async with serving(store, vhost):
            pass
    await client.delete(QUEUES.dead_queue)
    async with serving(store, vhost) as service:
        await consuming(service)
