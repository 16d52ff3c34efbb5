"""Consuming: bounded, and going on after every interruption."""

import pytest

from eventstore import Filter
from eventstore.postgres import PostgresEventStore
from tests.fixtures.vhosts import Management
from tests.fixtures.waiting import eventually
from tests.integration.worker.connections import close_connections
from tests.integration.worker.desk import Desk
from tests.integration.worker.relay import Relay
from tests.integration.worker.serving import QUEUES, Hold, consuming, interrupted, received, serving, settled
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
    store: PostgresEventStore, vhost: str, desk: Desk, hold: Hold
) -> None:
    await declare(desk.channel, QUEUES)
    for n in range(20):
        await desk.put(b'{"Key": "k%d"}' % n)
    async with serving(store, vhost, worker_concurrency=3) as service:
        await hold.holds(3)
        # As many again are on hand, so that nobody waits for the network; the rest is left to other workers.
        await desk.holds(QUEUES.queue, 20 - 6)
        hold.let_go()
        await settled(service, 20)
    assert hold.most == 3
    assert service.counters.ends == {End.ACCEPTED: 20}


async def test_a_connection_that_the_broker_closes_is_opened_again(
    store: PostgresEventStore, vhost: str, desk: Desk, publisher: Publisher, management: Management
) -> None:
    async with serving(store, vhost) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        async with interrupted(service):
            await close_connections(management, vhost, "worker tally")
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"
        assert await desk.consumers(QUEUES.queue) == 1


async def test_a_consumer_that_the_broker_cancels_begins_again(
    store: PostgresEventStore, vhost: str, desk: Desk, publisher: Publisher
) -> None:
    async with serving(store, vhost) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        async with interrupted(service):
            await desk.delete(QUEUES.queue)
        # The worker has declared its queue again.
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"
        assert await desk.consumers(QUEUES.queue) == 1


async def test_a_queue_that_comes_back_with_other_properties_is_consumed_once_it_is_put_right(
    store: PostgresEventStore, vhost: str, desk: Desk, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    async def is_complained_of() -> bool:
        return "the queues of domain tally exist with other properties" in caplog.text

    async with Relay.to(vhost) as relay, serving(store, relay.url) as service, interrupted(service):
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        await relay.cut()
        await desk.delete(QUEUES.queue)
        await desk.channel.declare_queue(QUEUES.queue, durable=True, arguments={"x-queue-type": "classic"})
        await relay.mend()
        await eventually(is_complained_of, what="the worker's complaint")
        assert not service.is_consuming
        await desk.delete(QUEUES.queue)
        await consuming(service)
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"


async def test_replies_and_dead_letters_outlive_their_connection(
    store: PostgresEventStore, vhost: str, desk: Desk, publisher: Publisher, management: Management
) -> None:
    async with serving(store, vhost) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        await close_connections(management, vhost, "worker replies, retries, dead letters")
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"
        await desk.put(b"{}")
        assert (await desk.take(QUEUES.dead_queue)).headers["worker-reason"] == "invalid_command"
        assert service.counters.failed_replies == 0


async def test_what_runs_when_the_channel_closes_goes_on_and_has_no_second_effect(
    store: PostgresEventStore, vhost: str, desk: Desk, hold: Hold, management: Management
) -> None:
    async with serving(store, vhost) as service:
        ids = {await desk.put(b'{"Key": "k%d"}' % n, reply_to=desk.replies) for n in range(2)}
        await hold.holds(2)
        async with interrupted(service):
            await close_connections(management, vhost, "worker tally")
        # The first two still run; the broker has delivered both again.
        await received(service, 4)
        assert service.counters.ends == {}
        hold.let_go(2)
        first = await desk.answers(2)
        await settled(service, 2)
        assert service.counters.ends == {End.LOST_CHANNEL: 2}
        hold.let_go()
        again = await desk.answers(2)
        await settled(service, 4)
        assert service.counters.ends == {End.LOST_CHANNEL: 2, End.DUPLICATE: 2}
    assert set(first) == ids
    assert {answer["outcome"] for answer in first.values()} == {"accepted"}
    assert again == {command_id: answer | {"duplicate": True} for command_id, answer in first.items()}
    assert await recorded(store) == 2
    assert await desk.ready(QUEUES.queue) == 0


async def test_a_broker_that_is_away_for_a_while_is_found_again(
    store: PostgresEventStore, vhost: str, publisher: Publisher
) -> None:
    async with Relay.to(vhost) as relay, serving(store, relay.url) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        async with interrupted(service):
            await relay.cut()
            command_id = await publisher.publish("tally", "Count", {"Key": "b"})
            assert await store.receipt(command_id) is None
            await relay.mend()
        await settled(service, 2)
        assert (await publisher.request("tally", "CountOnce", {"Key": "b"})).outcome == "unchanged"
        assert await store.receipt(command_id) is not None


async def test_a_worker_does_not_start_on_queues_with_other_properties(
    store: PostgresEventStore, vhost: str, desk: Desk
) -> None:
    await desk.channel.declare_queue(QUEUES.dead_queue, durable=True, arguments={"x-queue-type": "classic"})
    with pytest.raises(BrokerMisconfigured, match="let them run empty, delete them, and start again"):
        async with serving(store, vhost):
            pass
    await desk.delete(QUEUES.dead_queue)
    async with serving(store, vhost) as service:
        await consuming(service)
