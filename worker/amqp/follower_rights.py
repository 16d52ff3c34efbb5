"""Rights of what follows the log, and of what sends later: what a user of the broker lacks, and what is not there."""

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
    """What is against running a domain's reactions, relays and schedule.

    Attributes:
        absent: Which exchanges and queues are not there yet.
        missing: Which rights the user lacks to what is there.
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
    """Ask the broker. Nothing is declared, consumed or stored.

    Args:
        url: The broker.
        topology: The domain's queues.
        reacts: Whether the domain has reactions.
        relays: Whether it has relays.
        timeout: For all of it, in seconds.

    Raises:
        BrokerUnavailable: It is out of reach.
        BrokerMisconfigured: It refuses us.
    """
    link = Link(url, name="worker check")
    absent, missing = [], []
    try:
        async with link.translating(), asyncio.timeout(timeout):
            await link.wire()
            if not await may_publish(link, EXCHANGE):
                missing.append(f"write {EXCHANGE} ({'reactions and ' if reacts else ''}what is due)")
            if relays:
                exchange = events_exchange(topology.domain_name)
                if await lacks_exchange(link, topology.domain_name):
                    absent.append(exchange)
                elif not await may_publish(link, exchange):
                    missing.append(f"write {exchange} (relays)")
            if not await has_queue(link, topology.schedule_queue):
                absent.append(topology.schedule_queue)
            elif not await may_read(link, topology.schedule_queue):
                missing.append(f"read {topology.schedule_queue} (what is to be sent later)")
            if not await may_publish(link, ""):
                missing.append("write amq.default (dead letters and replies of the schedule)")
    finally:
        await link.close()
    return FollowerRights(absent=tuple(absent), missing=tuple(missing))
