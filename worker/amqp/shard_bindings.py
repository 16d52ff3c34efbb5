"""The shards' bindings: by which a key is in one shard, as the broker's management interface tells."""

import asyncio
from collections import Counter
from urllib.parse import quote

from worker.amqp.management import ask, vhost_of
from worker.topology import Topology

__all__ = ["wrong_bindings"]


async def wrong_bindings(management_url: str, amqp_url: str, topology: Topology) -> tuple[str, ...]:
    """Say how a domain's shards are bound, where that is not each of them once with the weight 1. Nothing is changed.

    Args:
        management_url: The management interface, with a login in it.
        amqp_url: Names the virtual host.
        topology: The domain's. It has shards.

    Returns:
        What is wrong, for people; nothing also if nothing is bound yet.

    Raises:
        BrokerUnavailable: The interface cannot be reached.
        BrokerMisconfigured: It refuses the login, or the right to see bindings.
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
