"""The inspection of the database: what is or will be wrong with its servers, and what to do about it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from eventstore import EventStoreError
from eventstore.counted import counted
from eventstore.postgres import SCHEMA_VERSION, PostgresEventStore, Survey, survey
from worker.capacity import connections_to
from worker.cli.condition import connections, primary_condition, replica_condition
from worker.cli.findings import Finding
from worker.credentials import address_of
from worker.failures import naming, sentence
from worker.stores import StoreSettings, place_of

__all__ = ["inspect_database", "look_at_primary", "look_at_replicas"]


async def inspect_database(
    store: StoreSettings, *, stores: Sequence[StoreSettings], pool_size: int, name: str = ""
) -> list[Finding]:
    """Inspect every server of a store in detail. Nothing is changed.

    Args:
        store: The store.
        stores: All stores of a worker: their connections to the same server are added up.
        pool_size: The most connections that a worker process opens to each server of each store.
        name: A suffix for the name of each part, if there are several stores.

    Returns:
        The findings about the primary, then about each replica.
    """
    # At the same time: a person waits for the timeouts of servers that are silent.
    (primary, head), (surveyed,) = await asyncio.gather(
        look_at_primary(store),
        asyncio.gather(_survey_of_primary(store), return_exceptions=True),
    )
    findings = [primary]
    if isinstance(surveyed, Survey):
        findings += primary_condition(surveyed, connections_to(store.database_url, stores, pool_size))
    elif not isinstance(surveyed, EventStoreError):
        raise surveyed
    elif primary.good:
        findings.append(replace(primary, good=False, text=sentence(surveyed)))
    replicas = await look_at_replicas(store, head if primary.good else None)
    for url, (finding, found) in zip(store.database_replica_urls, replicas, strict=True):
        findings.append(finding)
        if found is not None:
            room = connections(found, connections_to(url, stores, pool_size))
            findings.append(replace(room, part=f"connections {address_of(url)}"))
    return [replace(finding, part=f"{finding.part}{name}") for finding in findings]


async def look_at_primary(store: StoreSettings) -> tuple[Finding, int]:
    """Return whether the primary accepts appends, and the sequence number of its head. Nothing is changed."""
    part = f"database {place_of(store.database_url, store.database_schema)}"
    try:
        with naming(store.variable("database_url")):
            async with PostgresEventStore.connect(
                store.database_url,
                driver=store.database_driver,
                schema=store.database_schema,
                pool_size=1,
                application_name="worker check",
            ) as opened:
                head = (await opened.position()).number
                # An append of nothing needs every right that a worker needs, and leaves nothing behind.
                await opened.append(())
    except EventStoreError as error:
        return Finding(part=part, good=False, text=sentence(error)), 0
    text = f"accepts appends, {counted(head, 'event')}, schema version {SCHEMA_VERSION} or newer"
    return Finding(part=part, good=True, text=text), head


async def look_at_replicas(store: StoreSettings, head: int | None) -> list[tuple[Finding, Survey | None]]:
    """Return whether each replica answers, and how far it is behind the primary's head, if that is known."""
    return await asyncio.gather(*(_look_at_replica(store, url, head) for url in store.database_replica_urls))


async def _look_at_replica(store: StoreSettings, url: str, head: int | None) -> tuple[Finding, Survey | None]:
    part = f"replica {place_of(url, store.database_schema)}"
    try:
        with naming(store.variable("database_replica_urls")):
            found = await survey(url, schema=store.database_schema)
    except EventStoreError as error:
        return Finding(part=part, good=False, text=f"{sentence(error)} Until then, its reads go to the primary."), None
    return replace(replica_condition(found, head), part=part), found


async def _survey_of_primary(store: StoreSettings) -> Survey:
    with naming(store.variable("database_url")):
        return await survey(store.database_url, schema=store.database_schema, primary=True)
