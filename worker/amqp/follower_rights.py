"""The rights that reactions, relays and schedules need: which ones a user of the broker lacks, and what is absent."""

import asyncio
from dataclasses import dataclass

from worker.amqp.connection import Link
from worker.amqp.declaration import has_queue
from worker.amqp.relay_exchange import lacks_exchange
from worker.amqp.rights import may_publish, may_read
from worker.topology import EXCHANGE, Topology, events_exchange

__all__ = ["FollowerRights", "follower_rights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerRights:
    """What prevents running a domain's reactions, relays and schedule.

    Attributes:
        absent: Exchanges and queues that do not exist yet.
        missing: Rights that the user lacks on those that exist, for people.
    """

    absent: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


async def follower_rights(
    url: str,
    topology: Topology,
    *,
    reacts: bool,
    relays: bool,
    timeout: float = 5.0,  # noqa: ASYNC109  an open end would hide a wrong address
) -> FollowerRights:
    """Check these rights. Nothing is declared, consumed or stored.

    Args:
        url: The broker's address.
        topology: The domain's queues.
        reacts: Whether the domain has reactions.
        relays: Whether it has relays.
        timeout: For the whole call, in seconds.

    Raises:
        BrokerUnavailable: The broker cannot be reached, or does not answer in time.
        BrokerMisconfigured: The broker refuses the connection.
    """
    link = Link(url, name="worker check")
    absent, missing = [], []
    try:
        async with link.translating(), asyncio.timeout(timeout):
            await link.wire()
            if not await may_publish(link, EXCHANGE):
                missing.append(f"write {EXCHANGE} ({'reactions and ' if reacts else ''}scheduled commands)")
            if relays:
                exchange = events_exchange(topology.domain_name)
                if await lacks_exchange(link, topology.domain_name):
                    absent.append(exchange)
                elif not await may_publish(link, exchange):
                    missing.append(f"write {exchange} (relays)")
            if not await has_queue(link, topology.schedule_queue):
                absent.append(topology.schedule_queue)
            elif not await may_read(link, topology.schedule_queue):
                missing.append(f"read {topology.schedule_queue} (scheduled commands)")
            if not await may_publish(link, ""):
                missing.append("write amq.default (dead letters and replies of the schedule)")
    finally:
        await link.close()
    return FollowerRights(absent=tuple(absent), missing=tuple(missing))
