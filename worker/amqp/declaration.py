"""The declaration: makes what a topology names on the broker."""

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused, ConnectionCommandInvalid

from worker.amqp.connection import Link
from worker.errors import BrokerMisconfigured
from worker.topology import AFFINITY_HEADER, EXCHANGE, HASHING, Topology

__all__ = ["can_have_shards", "declare", "declare_exchange"]


async def declare_exchange(channel: AbstractChannel) -> None:
    """Declare the exchange that publishers send to. Declaring it again changes nothing."""
    await channel.declare_exchange(EXCHANGE, "direct", durable=True)


async def declare(channel: AbstractChannel, topology: Topology) -> None:
    """Declare a domain's exchanges, queues and bindings. Declaring them again changes nothing.

    Raises:
        BrokerMisconfigured: A queue or the exchange exists with other properties, among them another number of shards;
            or there are to be shards, and the broker lacks the plugin. The channel is closed, for want of the plugin
            the connection.
    """
    try:
        await declare_exchange(channel)
        if topology.shards is None:
            await _declare_one(channel, topology)
        else:
            await _declare_shards(channel, topology)
    except ConnectionCommandInvalid as error:
        raise _no_plugin() from error
    except ChannelPreconditionFailed as error:
        raise BrokerMisconfigured(
            f"the queues of domain {topology.domain_name} exist with other properties ({error}); "
            + ("let them run empty, delete them, and start again" if topology.shards is None else topology.way_out)
        ) from error


async def _declare_one(channel: AbstractChannel, topology: Topology) -> None:
    for name, arguments in topology.queues():
        await channel.declare_queue(name, durable=True, arguments=arguments)
    queue = await channel.get_queue(topology.queue, ensure=False)
    await queue.bind(EXCHANGE, topology.routing_key)


async def _declare_shards(channel: AbstractChannel, topology: Topology) -> None:
    shards = await channel.declare_exchange(
        topology.shard_exchange, HASHING, durable=True, arguments={"hash-header": AFFINITY_HEADER}
    )
    for name, arguments in topology.queues():
        await channel.declare_queue(name, durable=True, arguments=arguments)
    for name in topology.work_queues:
        queue = await channel.get_queue(name, ensure=False)
        # The binding's key is the shard's weight. Another one would move keys, and so would taking a binding away.
        await queue.bind(topology.shard_exchange, "1")
    # Last: a key stays in its shard only when all of them are bound.
    await shards.bind(EXCHANGE, topology.routing_key)
    # What was there before the domain had shards would take a copy of each command, and nobody consumes it.
    plain = await channel.get_queue(topology.queue, ensure=False)
    await plain.unbind(EXCHANGE, topology.routing_key)


async def can_have_shards(link: Link) -> None:
    """See whether a broker can spread commands over shards. Nothing is changed there; the link may be lost.

    Raises:
        BrokerMisconfigured: It lacks the plugin.
        BrokerUnavailable: It is out of reach.
    """
    wire = await link.wire()
    # The default exchange can never be declared. But first the broker looks whether it knows the type.
    try:
        await wire.exchange_declare("", exchange_type=HASHING)
    except ConnectionCommandInvalid as error:
        raise _no_plugin() from error
    except ChannelAccessRefused:
        return


def _no_plugin() -> BrokerMisconfigured:
    return BrokerMisconfigured(
        "RabbitMQ lacks the plugin that spreads commands over shards: run `rabbitmq-plugins enable "
        "rabbitmq_consistent_hash_exchange` on each of its nodes"
    )
