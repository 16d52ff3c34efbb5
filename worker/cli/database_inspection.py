"""The inspection of the database: what its servers are like, or will be, and what to do about it."""

from dataclasses import replace

from eventstore import EventStoreError, Filter
from eventstore.counted import counted
from eventstore.postgres import SCHEMA_VERSION, PostgresEventStore, Survey, survey
from worker.cli.condition import connections, primary_condition, replica_condition
from worker.cli.failures import sentence
from worker.cli.findings import Finding
from worker.credentials import address_of
from worker.settings import Settings

__all__ = ["inspect_database", "look_at_primary", "look_at_replica"]

# Nothing lies above it: such a read finds the head and no event.
_BEYOND = Filter.matching_any_event().sequence_number_higher_than(2**62)


async def inspect_database(settings: Settings) -> list[Finding]:
    """Look closely at every database server that the settings name. Nothing is changed anywhere.

    Returns:
        What there is to say of the primary, then of each replica.
    """
    primary, head = await look_at_primary(settings.database_url)
    findings = [primary]
    try:
        findings += primary_condition(await survey(settings.database_url, primary=True), settings)
    except EventStoreError as error:
        if primary.good:
            findings.append(replace(primary, good=False, text=sentence(error)))
    for url in settings.database_replica_urls:
        finding, found = await look_at_replica(url, head if primary.good else None)
        findings.append(finding)
        if found is not None:
            findings.append(replace(connections(found, settings), part=f"connections {address_of(url)}"))
    return findings


async def look_at_primary(url: str) -> tuple[Finding, int]:
    """Say whether the primary accepts appends, and how far its log is. Nothing is changed."""
    part = f"database {address_of(url)}"
    try:
        async with PostgresEventStore.connect(url, pool_size=1, application_name="worker check") as store:
            head = (await store.query(_BEYOND)).position.number
            # An append of nothing needs every right that a worker needs, and leaves nothing.
            await store.append(())
    except EventStoreError as error:
        return Finding(part=part, good=False, text=sentence(error)), 0
    text = f"accepts appends, {counted(head, 'event')}, schema version {SCHEMA_VERSION} or newer"
    return Finding(part=part, good=True, text=text), head


async def look_at_replica(url: str, head: int | None) -> tuple[Finding, Survey | None]:
    """Say whether a replica answers, and how far it is behind the primary's head, if that is known."""
    part = f"replica {address_of(url)}"
    try:
        found = await survey(url)
    except EventStoreError as error:
        return Finding(part=part, good=False, text=f"{sentence(error)} Until then, its reads go to the primary."), None
    return replace(replica_condition(found, head), part=part), found
