"""A copy that is sent on goes to the one queue that it is meant for, whatever headers its publisher set."""

from urllib.parse import urlsplit

from aio_pika.abc import AbstractIncomingMessage

from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import AmqpClient
from tests.support.dead_letters import letters, make_queues, replayed
from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, serving, settled, settlers
from worker.counters import End

A = b'{"Key": "a"}'


async def test_a_dead_letter_is_routed_to_no_other_queue(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    """Neither when it is put aside nor when it is replayed, however often; what its publisher asked for can be seen."""
    await make_queues(vhost)
    audit = (await client.channel.declare_queue("audit", durable=True)).name
    command_id = await client.put(
        A,
        exchange="",
        routing_key=QUEUES.queue,
        message_type="Unknown",
        # Back to its own queue, which would never end; and to another system's.
        headers={"CC": [QUEUES.queue, audit], "x-tenant-id": "t1", "x-delay": 5, "cc": "data"},
    )
    await client.holds(audit, 1)
    for deaths in (1, 2):
        async with serving(store, vhost) as service:
            await settled(service, 1)
            await client.holds(QUEUES.queue, 0)
        (letter,) = await letters(vhost)
        assert letter.message_id == command_id
        withheld = {"CC": [QUEUES.queue, audit], "x-tenant-id": "t1", "x-delay": 5}
        assert letter.headers["worker-withheld-headers"] == withheld
        assert letter.headers["cc"] == "data"
        assert not withheld.keys() & letter.headers.keys()
        assert await client.ready(audit) == 1
        if deaths == 1:
            assert await replayed(vhost, most=1) == 1
            assert await client.ready(QUEUES.queue) == 1
            assert await client.ready(audit) == 1


async def test_a_retried_command_is_routed_to_no_other_queue(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    await make_queues(vhost)
    audit = (await client.channel.declare_queue("audit", durable=True)).name
    async with serving(store, vhost) as service:
        await client.put(A, exchange="", routing_key=QUEUES.queue, message_type="Explode", headers={"CC": [audit]})
        await settled(service, 3)
    assert service.counters.ends == {End.RETRIED: 2, End.DEAD_LETTERED: 1}
    assert await client.ready(audit) == 1


async def test_a_full_dead_queue_drops_no_letter(
    store: PostgresEventStore, vhost: str, client: AmqpClient, management: Management
) -> None:
    """Those that it has no room for wait, which readiness tells, until the operator makes room."""
    await make_queues(vhost)
    policy = f"/api/policies{urlsplit(vhost).path}/bound"
    definition = {"pattern": ".*", "definition": {"max-length": 3}, "apply-to": "queues"}
    management.request("PUT", policy, definition)
    ids = [await client.put(A, exchange="", routing_key=QUEUES.queue, message_type="Unknown") for _ in range(3)]
    await client.holds(QUEUES.queue, 3)
    async with serving(store, vhost, worker_concurrency=8) as service:
        for settler in settlers(service):
            settler._handover._patience = 0.01
        await client.holds(QUEUES.dead_queue, 3)
        ids += [await client.put(A, message_type="Unknown") for _ in range(5)]

        async def is_told() -> bool:
            told = service.health()
            return not told.ready and "tally.commands.dead: RabbitMQ refused to store the message" in told.reason

        await eventually(is_told, what="the worker not to be ready")
        told = service.health()
        assert told.live
        assert told.reason.startswith("deliveries of tally that wait to be forwarded: ")
        management.request("DELETE", policy)
        await settled(service, 8)
        assert service.health().ready
    assert service.counters.ends == {End.DEAD_LETTERED: 8}
    assert sorted(each.message_id or "" for each in await letters(vhost)) == sorted(ids)


async def test_a_reply_to_a_channel_comes_and_is_counted_as_sent(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    """Direct reply-to, as many clients ask."""
    await make_queues(vhost)
    answers: list[bytes] = []

    async def keep(message: AbstractIncomingMessage) -> None:
        answers.append(message.body)

    async with serving(store, vhost) as service:
        source = await client.channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
        await source.consume(keep, no_ack=True)
        await client.put(A, reply_to="amq.rabbitmq.reply-to", correlation_id="visit")

        async def has_come() -> bool:
            return bool(answers)

        await eventually(has_come, what="the answer")
        await settled(service, 1)
    assert b'"outcome":"accepted"' in answers[0]
    assert service.counters.failed_replies == 0


async def test_an_address_that_no_broker_gives_is_asked_for_on_no_connection(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    await make_queues(vhost)
    async with serving(store, vhost) as service:
        await client.put(A, reply_to="amq.rabbitmq.reply-to.none")
        await settled(service, 1)
        assert service._direct_answers._wire is None
    assert service.counters.failed_replies == 1
    assert service.counters.ends == {End.ACCEPTED: 1}
