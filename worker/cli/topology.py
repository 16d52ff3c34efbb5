"""``worker topology declare``."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

import typer

from worker.amqp.connection import Link
from worker.amqp.declaration import declare_missing, missing, outdated
from worker.amqp.relay_exchange import declare_exchange, lacks_exchange
from worker.cli.loop import run_async
from worker.cli.terminal import tell
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.topology import Topology, events_exchange

__all__ = ["declare"]

_CONNECT_SECONDS = 5.0
# For each domain. A cluster's nodes must agree on each queue.
_DECLARE_SECONDS = 60.0


def declare(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is missing.")] = False,
) -> None:
    """Declare the exchanges and queues of the domains that WORKER_DOMAINS names, as a user that may configure them.

    Existing ones are not changed. Workers and publishers then need no right to configure anything. With --dry-run, exit
    status 1 when something is missing.
    """
    settings = Settings.load(needs=("amqp_url", "worker_domains"))
    domains = served_domains(settings)
    topologies = {Topology.of(domain, has_schedule=True): bool(domain.relays) for domain in domains}
    lacking = run_async(_declare(settings.amqp_url, topologies, dry_run=dry_run))
    if lacking and dry_run:
        raise typer.Exit(1)


async def _declare(url: str, topologies: Mapping[Topology, bool], *, dry_run: bool) -> bool:
    """Declare what is missing of each domain, including the exchange for its events if it has relays."""
    link = Link(url, name="worker topology declare")
    lacked = False
    try:
        async with link.translating(), asyncio.timeout(_CONNECT_SECONDS):
            await link.wire()
        for each, relays in topologies.items():
            async with link.translating(), asyncio.timeout(_DECLARE_SECONDS):
                lacking, older = await _declare_one(link, each, relays=relays, dry_run=dry_run)
            # Not in the block before: an output that cannot be written is no failure of the broker.
            _tell(each, lacking, older, dry_run=dry_run)
            lacked = lacked or bool(lacking)
    finally:
        await link.close()
    return lacked


async def _declare_one(
    link: Link, topology: Topology, *, relays: bool, dry_run: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Declare what is missing of a domain; return that, and the queues that an older version declared."""
    queues = await missing(link, topology)
    events = (events_exchange(topology.domain_name),)
    lacking = (*queues, *events) if relays and await lacks_exchange(link, topology.domain_name) else queues
    if not dry_run:
        await declare_missing(link, topology)
        if relays:
            await declare_exchange(link, topology.domain_name)
    return lacking, await outdated(link, topology) if not queues or not dry_run else ()


def _tell(each: Topology, lacking: tuple[str, ...], older: tuple[str, ...], *, dry_run: bool) -> None:
    if not lacking:
        tell(f"{each.domain_name}: nothing is missing.")
    else:
        tell(f"{each.domain_name}: {'missing' if dry_run else 'made'} {', '.join(lacking)}.")
    for queue in older:
        tell(f"{queue} was declared by an older version, and works as it is; see docs/broker.md, Policies.")
