"""The queues as the broker has them after they were declared."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest

from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.vhosts import Management
from worker.amqp.declaration import declare
from worker.errors import BrokerMisconfigured
from worker.topology import Topology

ORDERS = Topology("orders")


async def declared(amqp_url: str, *, times: int = 1) -> None:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        for _ in range(times):
            await declare(channel, ORDERS)


def queues(management: Management, amqp_url: str) -> dict[str, dict[str, Any]]:
    listed = management.request("GET", f"/api/queues{urlsplit(amqp_url).path}?disable_stats=true")
    return {queue["name"]: queue for queue in listed}


async def test_each_queue_is_a_quorum_queue_that_loses_nothing_on_its_hops(vhost: str, management: Management) -> None:
    await declared(vhost)
    found = queues(management, vhost)
    assert set(found) == {"orders.commands", "orders.commands.retry", "orders.commands.dead"}
    assert {(queue["type"], queue["durable"], queue["auto_delete"]) for queue in found.values()} == {
        ("quorum", True, False)
    }
    hop = {"x-dead-letter-exchange": "", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    assert found["orders.commands"]["arguments"] == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1000,
        "x-dead-letter-routing-key": "orders.commands.dead",
        **hop,
    }
    assert found["orders.commands.retry"]["arguments"] == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1_000_000_000,
        "x-message-ttl": 60_000,
        "x-dead-letter-routing-key": "orders.commands",
        **hop,
    }
    # Whoever looks at a dead letter puts it back, which counts; it must never be dropped for that.
    assert found["orders.commands.dead"]["arguments"] == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1_000_000_000,
        "x-overflow": "reject-publish",
    }


async def test_a_durable_direct_exchange_routes_by_the_domains_name(vhost: str, management: Management) -> None:
    await declared(vhost)
    folder = urlsplit(vhost).path
    exchange = management.request("GET", f"/api/exchanges{folder}/commands")
    assert (exchange["type"], exchange["durable"], exchange["auto_delete"]) == ("direct", True, False)
    bindings = management.request("GET", f"/api/exchanges{folder}/commands/bindings/source")
    assert [(binding["destination"], binding["routing_key"]) for binding in bindings] == [("orders.commands", "orders")]


async def test_declaring_again_changes_nothing(vhost: str, management: Management, client: AmqpClient) -> None:
    await declared(vhost)
    before = {name: queue["arguments"] for name, queue in queues(management, vhost).items()}
    await client.put(b"{}", routing_key="orders")
    await declared(vhost, times=2)
    assert {name: queue["arguments"] for name, queue in queues(management, vhost).items()} == before
    assert await client.ready(ORDERS.queue) == 1


async def test_two_may_declare_at_once(vhost: str, management: Management) -> None:
    async with AsyncExitStack() as stack:
        channels = []
        for _ in range(2):
            connection = await stack.enter_async_context(await aio_pika.connect(vhost))
            channels.append(await connection.channel())
        await asyncio.gather(*(declare(channel, ORDERS) for channel in channels))
        assert not any(channel.is_closed for channel in channels)
    assert len(queues(management, vhost)) == 3


async def test_a_queue_with_other_properties_is_named_and_left_as_it_is(
    vhost: str, management: Management, client: AmqpClient
) -> None:
    await client.channel.declare_queue(ORDERS.queue, durable=True, arguments={"x-queue-type": "classic"})
    with pytest.raises(BrokerMisconfigured, match="the queues of domain orders exist with other properties"):
        await declared(vhost)
    assert queues(management, vhost)[ORDERS.queue]["arguments"] == {"x-queue-type": "classic"}
    await client.delete(ORDERS.queue)
    await declared(vhost)


async def test_an_exchange_of_another_type_is_refused(vhost: str, client: AmqpClient) -> None:
    await client.channel.declare_exchange("commands", "fanout", durable=True)
    with pytest.raises(BrokerMisconfigured, match="exist with other properties"):
        await declared(vhost)
