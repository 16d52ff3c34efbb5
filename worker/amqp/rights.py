"""Rights: which of a worker's rights a user of the broker has, found out without using them."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from aiormq import Channel as WireChannel
from aiormq import spec
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused, ChannelClosed, DeliveryError
from pamqp.common import FieldTable

from worker.amqp.connection import Link
from worker.topology import EXCHANGE, Topology

__all__ = ["may_configure", "may_publish", "may_read", "missing_rights"]

_DEFAULT_EXCHANGE = ""
# An invalid priority, so that the broker refuses the consumer; but it checks the right to read first.
_NO_PRIORITY: FieldTable = {"x-priority": "none"}
# An invalid time to live, so that the broker refuses the queue; but it checks the right to configure first.
_NO_TIME: FieldTable = {"x-message-ttl": -1}


async def missing_rights(link: Link, topology: Topology) -> tuple[str, ...]:
    """Return the rights for serving a domain that the user lacks, for people. The domain's queues exist.

    Nothing is declared, consumed or stored.
    """
    found = [f"read {queue}" for queue in topology.work_queues if not await may_read(link, queue)]
    if not await may_publish(link, _DEFAULT_EXCHANGE):
        found.append("write amq.default (retries, dead letters, replies)")
    if topology.shards is not None and not await may_configure(link, f"{topology.domain_name}.workers.check"):
        found.append(f"configure {topology.domain_name}.workers.* (how workers of shards find each other)")
    return tuple(found)


async def may_read(link: Link, queue: str) -> bool:
    """Whether the user may consume a queue, which exists."""

    async def nothing(_: DeliveredMessage) -> None:
        pass

    return await _is_allowed(link, lambda wire: wire.basic_consume(queue, nothing, arguments=_NO_PRIORITY))


async def may_configure(link: Link, queue: str) -> bool:
    """Whether the user may declare a queue, which does not exist."""
    return await _is_allowed(link, lambda wire: wire.queue_declare(queue, durable=True, arguments=_NO_TIME))


async def may_publish(link: Link, exchange: str = EXCHANGE) -> bool:
    """Whether the user may publish to an exchange, which exists. No queue takes the message that is sent for that."""
    nowhere = f"worker-check-{uuid4()}"
    properties = spec.Basic.Properties(message_id=nowhere, expiration="0")

    return await _is_allowed(
        link,
        lambda wire: wire.basic_publish(
            b"", exchange=exchange, routing_key=nowhere, properties=properties, mandatory=True, wait=False
        ),
        confirms=True,
    )


async def _is_allowed(link: Link, ask: Callable[[WireChannel], Awaitable[object]], *, confirms: bool = False) -> bool:
    """Send a request that is always refused, and return whether that is for another reason than a missing right."""
    async with link.side_channel(confirms=confirms) as channel:
        try:
            await ask(await link.wire_of(channel))
        except ChannelAccessRefused:
            return False
        except (ChannelClosed, DeliveryError):
            return True
    return True
