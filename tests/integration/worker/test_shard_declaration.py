"""The shards as the broker has them: a key stays in its shard, also after it has rested or was dead."""

from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest

from tests.integration.worker.shards import DOMAIN, SHARDED
from tests.integration.worker.test_declaration import queues
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.vhosts import Management
from worker.amqp.backlog import backlog
from worker.amqp.dead_queue import DeadQueue
from worker.amqp.declaration import declare
from worker.amqp.sender import Sender
from worker.cli.findings import Finding
from worker.cli.inspection import inspect
from worker.dead_letters.replay import Bounds, replay
from worker.errors import BrokerMisconfigured
from worker.settings import Settings
from worker.topology import Topology

HOP = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
KEYS = [f"k{n}" for n in range(30)]


@pytest.fixture
async def shards(client: AmqpClient) -> AmqpClient:
    await declare(client.channel, SHARDED)
    return client


async def waiting(client: AmqpClient, topology: Topology = SHARDED) -> list[int]:
    return [await client.ready(queue) for queue in topology.work_queues]


async def refused(amqp_url: str, topology: Topology) -> str:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        with pytest.raises(BrokerMisconfigured) as raised:
            await declare(await connection.channel(), topology)
    return str(raised.value)


async def test_a_key_has_one_shard_of_those_that_a_hash_exchange_is_bound_to(
    vhost: str, management: Management, shards: AmqpClient
) -> None:
    found = queues(management, vhost)
    assert set(found) - {shards.replies} == {*SHARDED.work_queues, SHARDED.retry_queue, SHARDED.dead_queue}
    assert found["tally.commands.0"]["arguments"] == {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "tally.commands.dead",
        **HOP,
    }
    assert found["tally.commands.retry"]["arguments"]["x-dead-letter-exchange"] == "commands.tally"
    folder = urlsplit(vhost).path
    exchange = management.request("GET", f"/api/exchanges{folder}/commands.tally")
    assert (exchange["type"], exchange["arguments"]) == ("x-consistent-hash", {"hash-header": "affinity-key"})
    bindings = management.request("GET", f"/api/exchanges{folder}/commands.tally/bindings/source")
    assert Counter(each["destination"] for each in bindings) == Counter(SHARDED.work_queues)
    assert {each["routing_key"] for each in bindings} == {"1"}


async def test_declaring_again_moves_no_key(vhost: str, shards: AmqpClient) -> None:
    async def spread() -> list[int]:
        before = await waiting(shards)
        for key in KEYS:
            await shards.put(b"{}", headers={"affinity-key": key})
        return [there - then for there, then in zip(await waiting(shards), before, strict=True)]

    first = await spread()
    assert sum(first) == len(KEYS)
    assert sum(map(bool, first)) > 3
    async with AsyncExitStack() as stack:
        for _ in range(3):
            connection = await stack.enter_async_context(await aio_pika.connect(vhost))
            await declare(await connection.channel(), SHARDED)
    assert await spread() == first


async def test_commands_of_one_key_come_to_one_shard(shards: AmqpClient) -> None:
    for _ in range(20):
        await shards.put(b"{}", headers={"affinity-key": "the one"})
    assert sorted(await waiting(shards)) == [0] * 7 + [20]


async def test_a_command_without_a_key_is_taken_as_well(shards: AmqpClient) -> None:
    for _ in range(3):
        await shards.put(b"{}")
    assert sorted(await waiting(shards)) == [0] * 7 + [3]


async def test_a_command_that_has_rested_returns_to_its_shard(shards: AmqpClient) -> None:
    for key in KEYS:
        await shards.put(b"{}", headers={"affinity-key": key})
    first = await waiting(shards)
    for key in KEYS:
        await shards.put(
            b"{}", exchange="", routing_key=SHARDED.retry_queue, headers={"affinity-key": key}, expiration="1"
        )
    await shards.holds(SHARDED.retry_queue, 0)
    for queue, count in zip(SHARDED.work_queues, first, strict=True):
        await shards.holds(queue, 2 * count)


async def test_a_dead_letter_is_replayed_to_its_shard(vhost: str, shards: AmqpClient) -> None:
    for key in KEYS:
        await shards.put(b"{}", headers={"affinity-key": key})
    first = await waiting(shards)
    for key in KEYS:
        await shards.put(b"{}", exchange="", routing_key=SHARDED.dead_queue, headers={"affinity-key": key})
    await shards.holds(SHARDED.dead_queue, len(KEYS))
    sender = await Sender(vhost, name="replay").open()
    try:
        async with DeadQueue.open(vhost, SHARDED) as queue:
            bounds = Bounds(oldest=len(KEYS), most=len(KEYS))
            assert await replay(queue, sender, lambda _: True, bounds, progress=lambda: None) == len(KEYS)
    finally:
        await sender.close()
    assert await waiting(shards) == [2 * count for count in first]


@pytest.mark.parametrize("number", [4, 16, None])
async def test_another_number_of_shards_is_refused_in_a_sentence(
    vhost: str, shards: AmqpClient, number: int | None
) -> None:
    told = await refused(vhost, replace(SHARDED, shards=number))
    assert told.startswith("the queues of domain tally exist with other properties (")
    assert await waiting(shards) == [0] * 8
    if number is None:
        return  # the one work queue was made before it was refused, and is bound to nothing
    # No shard was made or bound.
    found = await backlog(vhost, SHARDED)
    assert found is not None
    assert found.fits(SHARDED)
    assert not found.fits(replace(SHARDED, shards=number))


async def test_a_check_says_that_the_shards_are_others(vhost: str, shards: AmqpClient) -> None:
    async def queue(domain: str) -> Finding:
        found = await inspect(Settings(amqp_url=vhost, worker_domains=domain))
        return next(each for each in found if each.part == "queue tally.commands")

    await shards.put(b"{}")
    assert await queue(DOMAIN) == Finding(
        part="queue tally.commands",
        good=True,
        text="1 waiting, 0 of 8 shards consumed, 0 to be retried, 0 dead letters",
    )
    for domain, wanted in (("fewer", "4 shards"), ("more", "16 shards"), ("plain", "no affinity")):
        found = await queue(f"tests.support.domains.sharded:{domain}")
        assert not found.good
        assert found.text == f"the domain has {wanted}, and the broker 8 shards: {SHARDED.way_out}."


async def test_a_check_says_which_bindings_move_keys(vhost: str, management: Management, shards: AmqpClient) -> None:
    checking = Settings(amqp_url=vhost, worker_domains=DOMAIN, rabbitmq_management_url=management.address)

    async def bindings() -> Finding:
        return next(each for each in await inspect(checking) if each.part == "bindings of commands.tally")

    assert await bindings() == Finding(part="bindings of commands.tally", good=True, text="each shard once")
    heavy = await shards.channel.get_queue(SHARDED.shard_queue(3), ensure=False)
    await heavy.unbind(SHARDED.shard_exchange, "1")
    await heavy.bind(SHARDED.shard_exchange, "2")
    audit = await shards.channel.get_queue(SHARDED.dead_queue, ensure=False)
    await audit.bind(SHARDED.shard_exchange, "1")
    found = await bindings()
    assert not found.good
    assert found.text == (
        "the queue tally.commands.3 is bound with the weight 2, the queue tally.commands.3 is not bound with the "
        "weight 1, the queue tally.commands.dead is bound with the weight 1; each shard must be bound once, with the "
        f"weight 1, and nothing else may be bound; every change moves keys to other shards; {SHARDED.way_out}."
    )


async def test_a_domain_that_had_no_shards_gets_none_beside_its_queue(vhost: str, client: AmqpClient) -> None:
    plain = Topology("tally")
    await declare(client.channel, plain)
    told = await refused(vhost, SHARDED)
    assert "that is changed only while no command waits: stop what publishes" in told
    # As told: what is deleted makes room, and the way into the old queue is closed.
    await client.delete(plain.retry_queue)
    await declare(client.channel, SHARDED)
    await client.put(b"{}", headers={"affinity-key": "a"})
    assert sum(await waiting(client)) == 1
    assert await client.ready(plain.queue) == 0


async def test_the_backlog_adds_up_the_shards(vhost: str, shards: AmqpClient) -> None:
    for key in KEYS:
        await shards.put(b"{}", headers={"affinity-key": key})
    found: Any = await backlog(vhost, SHARDED)
    assert (found.waiting, found.consumers, found.shards) == (len(KEYS), 0, 8)
