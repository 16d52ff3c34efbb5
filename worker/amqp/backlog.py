"""The backlog: what waits in a domain's queues, and who serves it, as the broker counts."""

import asyncio
from dataclasses import dataclass, replace

from aiormq import spec
from aiormq.exceptions import ChannelNotFoundEntity

from worker.amqp.connection import Link
from worker.amqp.declaration import can_have_shards
from worker.amqp.rights import missing_rights
from worker.topology import Topology

__all__ = ["Backlog", "BacklogReader", "backlog"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What the broker says of a domain's queues.

    Attributes:
        waiting: Commands that wait for a worker.
        consumers: Worker processes that consume them; with shards, how many shards are consumed.
        resting: Commands in the retry queue.
        dead: Dead letters.
        shards: How many shards there are.
        has_plain: Whether there is the one work queue of a domain without shards.
        missing_rights: What the user lacks of the rights that serving the domain takes.
    """

    waiting: int
    consumers: int
    resting: int
    dead: int
    shards: int = 0
    has_plain: bool = True
    missing_rights: tuple[str, ...] = ()

    def fits(self, topology: Topology) -> bool:
        """Whether there are the work queues that the domain is to have, and no others."""
        return (self.shards, self.has_plain) == (topology.shards or 0, topology.shards is None)


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
        BrokerMisconfigured: It refuses us, or the domain has shards and the broker cannot have any.
    """
    link = Link(url, name="worker check")
    try:
        async with link.translating(), asyncio.timeout(timeout):
            await link.wire()
            found = await _found(link, topology)
            if found is not None and found.fits(topology):
                found = replace(found, missing_rights=await missing_rights(link, topology))
            if topology.shards is not None:
                await can_have_shards(link)
    finally:
        await link.close()
    return found


class BacklogReader:
    """Asks again and again, over one connection, which is made when it is needed and again when it has broken.

    Args:
        url: The broker.
        name: What the connection is called in the broker's management pages.
    """

    def __init__(self, url: str, *, name: str) -> None:
        self._link = Link(url, name=name)

    async def read(self, topology: Topology, *, timeout: float = 5.0) -> Backlog | None:  # noqa: ASYNC109  as above
        """Return the counts of a domain's queues, as ``backlog`` does; which rights are missing is not looked for.

        Args:
            topology: The domain's queues.
            timeout: For all of it, in seconds.

        Raises:
            BrokerUnavailable: The broker is out of reach.
            BrokerMisconfigured: It refuses us.
        """
        async with self._link.translating(), asyncio.timeout(timeout):
            await self._link.wire()
            return await _found(self._link, topology)

    async def close(self) -> None:
        """Close the connection."""
        await self._link.close()


async def _found(link: Link, topology: Topology) -> Backlog | None:
    plain, rest, dead = [
        await _look(link, name) for name in (topology.queue, topology.retry_queue, topology.dead_queue)
    ]
    shards = await _shards(link, topology)
    work = [each for each in (plain, *shards) if each is not None]
    if not work or rest is None or dead is None:
        return None
    consumers = [each.consumer_count or 0 for each in work]
    return Backlog(
        waiting=sum(each.message_count or 0 for each in work),
        # One that has taken a shard may wait for another to let it go.
        consumers=sum(consumers) if topology.shards is None else sum(map(bool, consumers)),
        resting=rest.message_count or 0,
        dead=dead.message_count or 0,
        shards=len(shards),
        has_plain=plain is not None,
    )


async def _shards(link: Link, topology: Topology) -> list[spec.Queue.DeclareOk]:
    """Look at all shards that there are: those that are to be, and those of a larger number before."""
    expected = [await _look(link, name) for name in topology.work_queues if topology.shards is not None]
    shards = [each for each in expected if each is not None]
    number = len(expected)
    while (further := await _look(link, topology.shard_queue(number))) is not None:
        shards.append(further)
        number += 1
    return shards


async def _look(link: Link, queue: str) -> spec.Queue.DeclareOk | None:
    # A queue that is not there closes the channel that it was asked for on.
    async with link.side_channel() as channel:
        wire = await link.wire_of(channel)
        try:
            return await wire.queue_declare(queue, passive=True)
        except ChannelNotFoundEntity:
            return None
