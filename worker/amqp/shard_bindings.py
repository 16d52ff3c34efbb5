"""Bindings of a domain, from the broker's management interface: those of its commands, and those of its shards."""

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import quote

from worker.amqp.management import ask, vhost_of
from worker.topology import Topology

__all__ = ["is_reached", "wrong_bindings"]


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
    found = await _bindings(management_url, amqp_url, topology.shard_exchange)
    there = Counter((each["destination_type"], each["destination"], each["routing_key"]) for each in found)
    wanted = Counter(("queue", name, "1") for name in topology.work_queues)
    if not there:
        return ()
    besides = [
        f"the {kind} {name} is bound with the weight {weight}" for kind, name, weight in (there - wanted).elements()
    ]
    lacking = [f"the {kind} {name} is not bound with the weight {weight}" for kind, name, weight in wanted - there]
    return tuple(sorted((*besides, *lacking)))


async def is_reached(management_url: str, amqp_url: str, topology: Topology) -> bool:
    """Return whether commands that are published for a domain reach its queues. Nothing is changed.

    A broker does not notify consumers when an exchange or a binding is deleted: they get no further deliveries.

    Args:
        management_url: The management interface, with a login in it.
        amqp_url: The broker's address; it names the virtual host.
        topology: The domain's exchanges and queues.

    Raises:
        BrokerUnavailable: The interface cannot be reached.
        BrokerMisconfigured: The interface refuses the login, or the right to see bindings.
    """
    entrance = topology.queue if topology.shards is None else topology.shard_exchange
    found = await _bindings(management_url, amqp_url, topology.exchange)
    return any((each["destination"], each["routing_key"]) == (entrance, topology.routing_key) for each in found)


async def _bindings(management_url: str, amqp_url: str, exchange: str) -> list[dict[str, Any]]:
    path = f"exchanges/{vhost_of(amqp_url)}/{quote(exchange, safe='')}/bindings/source"
    return await asyncio.to_thread(ask, management_url, path) or []
