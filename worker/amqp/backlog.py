"""The backlog: the broker's counts of the messages and consumers of a domain's queues."""

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
    """The broker's counts for a domain's queues.

    Attributes:
        waiting: Commands that are ready for delivery.
        consumers: Worker processes that consume the domain; with shards, the number of shards that have a consumer.
        resting: Messages in the retry queue.
        dead: Messages in the dead-letter queue.
        shards: Number of shard queues that exist.
        has_plain: Whether the work queue of a domain without shards exists.
        missing_rights: The rights that serving the domain needs and the user lacks, for people.
    """

    waiting: int
    consumers: int
    resting: int
    dead: int
    shards: int = 0
    has_plain: bool = True
    missing_rights: tuple[str, ...] = ()

    def fits(self, topology: Topology) -> bool:
        """Whether exactly the work queues exist that the topology names."""
        return (self.shards, self.has_plain) == (topology.shards or 0, topology.shards is None)


async def backlog(url: str, topology: Topology, *, timeout: float = 5.0) -> Backlog | None:  # noqa: ASYNC109  an open end would hide a wrong address
    """Read a domain's backlog from the broker. Nothing is declared or changed.

    Args:
        url: The broker's address.
        topology: The domain's queues.
        timeout: For the whole call, in seconds.

    Returns:
        The counts; None if the domain has no queues because no worker has ever served it.

    Raises:
        BrokerUnavailable: The broker cannot be reached, or does not answer in time.
        BrokerMisconfigured: The broker refuses the connection; or the domain has shards, and the broker lacks the
            plugin.
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
    """Reads backlogs repeatedly over one connection, which is opened when needed and again after it broke.

    Args:
        url: The broker's address.
        name: Name of the connection in the broker's management pages.
    """

    def __init__(self, url: str, *, name: str) -> None:
        self._link = Link(url, name=name)

    async def read(self, topology: Topology, *, timeout: float = 5.0) -> Backlog | None:  # noqa: ASYNC109  as above
        """Return the counts of a domain's queues, as ``backlog`` does, but without the missing rights.

        Args:
            topology: The domain's queues.
            timeout: For the whole call, in seconds.

        Raises:
            BrokerUnavailable: The broker cannot be reached, or does not answer in time.
            BrokerMisconfigured: The broker refuses the connection.
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
        # A shard may have several consumers: all but the first wait for it.
        consumers=sum(consumers) if topology.shards is None else sum(map(bool, consumers)),
        resting=rest.message_count or 0,
        dead=dead.message_count or 0,
        shards=len(shards),
        has_plain=plain is not None,
    )


async def _shards(link: Link, topology: Topology) -> list[spec.Queue.DeclareOk]:
    """Look up all shard queues that exist: those of the topology, and further ones of an earlier, larger number."""
    expected = [await _look(link, name) for name in topology.work_queues if topology.shards is not None]
    shards = [each for each in expected if each is not None]
    number = len(expected)
    while (further := await _look(link, topology.shard_queue(number))) is not None:
        shards.append(further)
        number += 1
    return shards


async def _look(link: Link, queue: str) -> spec.Queue.DeclareOk | None:
    # Asking for a missing queue closes the channel.
    async with link.side_channel() as channel:
        wire = await link.wire_of(channel)
        try:
            return await wire.queue_declare(queue, passive=True)
        except ChannelNotFoundEntity:
            return None
