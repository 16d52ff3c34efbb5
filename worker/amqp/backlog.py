"""The backlog: what waits in a domain's queues, and who serves it, as the broker counts."""

import asyncio
from dataclasses import dataclass

from aiormq.exceptions import ChannelNotFoundEntity

from worker.amqp.connection import Link
from worker.topology import Topology

__all__ = ["Backlog", "backlog"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What the broker says of a domain's queues.

    Attributes:
        waiting: Commands that wait for a worker.
        consumers: Worker processes that consume them.
        resting: Commands in the retry queue.
        dead: Dead letters.
    """

    waiting: int
    consumers: int
    resting: int
    dead: int


async def backlog(url: str, topology: Topology, *, timeout: float = 5.0) -> Backlog | None:  # noqa: ASYNC109  an open end would hide a wrong address
    """Ask the broker for a domain's backlog. Nothing is declared or changed.

    Args:
        url: The broker.
        topology: The domain's queues.
        timeout: For all of it, in seconds.

    Returns:
        The counts, or None when no worker has ever served the domain, so that it has no queues.

    Raises:
        BrokerUnavailable: It is out of reach.
        BrokerMisconfigured: It refuses us.
    """
    link = Link(url, name="worker check")
    try:
        async with link.translating(), asyncio.timeout(timeout):
            wire = await link.wire()
            try:
                work = await wire.queue_declare(topology.queue, passive=True)
                rest = await wire.queue_declare(topology.retry_queue, passive=True)
                dead = await wire.queue_declare(topology.dead_queue, passive=True)
            except ChannelNotFoundEntity:
                return None
    finally:
        await link.close()
    return Backlog(
        waiting=work.message_count or 0,
        consumers=work.consumer_count or 0,
        resting=rest.message_count or 0,
        dead=dead.message_count or 0,
    )
