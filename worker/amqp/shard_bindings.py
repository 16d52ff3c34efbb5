"""The shards' bindings, which decide the shard of a key, from the broker's management interface."""

import asyncio
from collections import Counter
from urllib.parse import quote

from worker.amqp.management import ask, vhost_of
from worker.topology import Topology

__all__ = ["wrong_bindings"]


async def wrong_bindings(management_url: str, amqp_url: str, topology: Topology) -> tuple[str, ...]:
    """Return what is wrong with the bindings of a domain's shards: each must be bound once, with weight 1.

    Nothing is changed.

    Args:
        management_url: Address of the management interface, with user name and password.
        amqp_url: The broker's address, which names the virtual host.
        topology: The domain's queues and exchanges. It has shards.

    Returns:
        The faults, for people; empty if there are none, or if nothing is bound yet.

    Raises:
        BrokerUnavailable: The interface cannot be reached.
        BrokerMisconfigured: The interface refuses the login, or the right to see bindings.
    """
    exchange = quote(topology.shard_exchange, safe="")
    path = f"exchanges/{vhost_of(amqp_url)}/{exchange}/bindings/source"
    found = await asyncio.to_thread(ask, management_url, path) or []
    there = Counter((each["destination_type"], each["destination"], each["routing_key"]) for each in found)
    wanted = Counter(("queue", name, "1") for name in topology.work_queues)
    if not there:
        return ()
    besides = [
        f"the {kind} {name} is bound with the weight {weight}" for kind, name, weight in (there - wanted).elements()
    ]
    lacking = [f"the {kind} {name} is not bound with the weight {weight}" for kind, name, weight in wanted - there]
    return tuple(sorted((*besides, *lacking)))
