"""The declaration: makes what a topology names on the broker."""

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelPreconditionFailed

from worker.errors import BrokerMisconfigured
from worker.topology import EXCHANGE, Topology

__all__ = ["declare", "declare_exchange"]


async def declare_exchange(channel: AbstractChannel) -> None:
    """Declare the exchange that publishers send to. Declaring it again changes nothing."""
    await channel.declare_exchange(EXCHANGE, "direct", durable=True)


async def declare(channel: AbstractChannel, topology: Topology) -> None:
    """Declare a domain's exchange, queues and binding. Declaring them again changes nothing.

    Raises:
        BrokerMisconfigured: A queue or the exchange exists with other properties. The channel is closed.
    """
    try:
        await declare_exchange(channel)
        for name, arguments in topology.queues():
            await channel.declare_queue(name, durable=True, arguments=arguments)
        queue = await channel.get_queue(topology.queue, ensure=False)
        await queue.bind(EXCHANGE, topology.routing_key)
    except ChannelPreconditionFailed as error:
        raise BrokerMisconfigured(
            f"the queues of domain {topology.domain_name} exist with other properties ({error}); "
            "let them run empty, delete them, and start again"
        ) from error
