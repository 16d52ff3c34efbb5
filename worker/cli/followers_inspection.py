"""The inspection of what `worker follow` needs: rights in the databases and at the broker, for each domain."""

import asyncio
from collections.abc import Sequence

from eventstore import EventStoreError
from handlers.domain import Domain
from worker.amqp.follower_rights import FollowerRights, follower_rights
from worker.cli.findings import Finding
from worker.errors import BrokerError, SettingsError
from worker.failures import naming, sentence
from worker.reading.rights import READING, SCHEDULE, missing_rights
from worker.settings import Settings
from worker.stores import StoreSettings, stores_of
from worker.topology import Topology

__all__ = ["inspect_followers"]


async def inspect_followers(settings: Settings, domains: Sequence[Domain], *, needed: bool) -> list[Finding]:
    """Check whether the projections, reactions, relays and schedules of domains could be run. Nothing is changed.

    Workers do not need these rights. So a missing right is a note, and only an error if it is said to be needed.

    Args:
        settings: The worker's settings.
        domains: The domains to check.
        needed: Whether a missing right is an error.
    """
    try:
        stores = stores_of(settings, [domain.name for domain in domains]) if domains else ()
    except SettingsError:  # reported by the inspection of the databases
        return []
    of_name = {name: store for store in stores for name in store.domains}
    return list(
        await asyncio.gather(*(_inspect(settings, each, of_name[each.name], needed=needed) for each in domains))
    )


async def _inspect(settings: Settings, domain: Domain, store: StoreSettings, *, needed: bool) -> Finding:
    follows = bool(domain.projections or domain.reactions or domain.relays)
    part = f"{'followers and ' if follows else ''}schedule of {domain.name}"
    try:
        lacking = await _lacking_in_databases(settings, store, follows=follows)
        rights = FollowerRights()
        if settings.amqp_url:
            rights = await follower_rights(
                settings.amqp_url, Topology.of(domain), reacts=bool(domain.reactions), relays=bool(domain.relays)
            )
    except (EventStoreError, BrokerError) as error:
        return Finding(part=part, good=not needed, note=True, text=f"cannot be checked: {sentence(error)}")
    if rights.missing:
        named = ", ".join(rights.missing)
        lacking.append(f"the user of AMQP_URL lacks the rights {named}: docs/broker.md names them all")
    told = [f"`worker follow` cannot run here: {'; '.join(lacking)}"] if lacking else []
    if rights.absent:
        told.append(
            f"not declared yet: {', '.join(rights.absent)}; `worker topology declare` declares what is missing, and so "
            "does the first `worker follow` that may"
        )
    if not told:
        return Finding(part=part, good=True, text="may be run")
    return Finding(part=part, good=not needed, note=True, text=f"{'; '.join(told)}.")


async def _lacking_in_databases(settings: Settings, store: StoreSettings, *, follows: bool) -> list[str]:
    found = []
    if follows and settings.projections_url:
        with naming("PROJECTIONS_URL"):
            lacking = await missing_rights(
                settings.projections_url,
                READING,
                migration="worker db migrate --projections",
                schema=store.database_schema,
            )
        found += [f"in the database of PROJECTIONS_URL, {lacking}"] if lacking else []
    with naming(store.variable("database_url")):
        lacking = await missing_rights(
            store.database_url, SCHEDULE, migration="worker db migrate", schema=store.database_schema
        )
    return found + ([lacking] if lacking else [])
