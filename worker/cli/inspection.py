"""The inspection: what of a worker's surroundings can be used, what cannot, and what to do about it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from eventstore import Consistency, EventStoreError, Filter
from eventstore.postgres import SCHEMA_VERSION, PostgresEventStore, migrate
from handlers.domain import Domain
from handlers.errors import HandlerError
from handlers.registry import load_domains
from worker.backlog import backlog
from worker.broker import broker_address
from worker.cli.failures import sentence
from worker.errors import BrokerError
from worker.settings import Settings
from worker.topology import Topology

__all__ = ["Finding", "inspect"]

# Nothing lies above it: such a read finds the head and no event.
_BEYOND = Filter.matching_any_event().sequence_number_higher_than(2**62)
# How the store names the refusal of a server that is up, but only to be read from.
_READ_ONLY_SERVER = "TargetServerAttributeNotMatched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one part turned out to be.

    Attributes:
        part: Which part, for a person.
        good: Whether it can be used.
        text: What it is; if it cannot be used, what to do.
    """

    part: str
    good: bool
    text: str


async def inspect(settings: Settings) -> list[Finding]:
    """Look at every part that the settings name. Nothing is changed anywhere.

    Returns:
        One finding a part, in the order in which a person would mend them.
    """
    found, domains = _domains(settings)
    database, broker = await asyncio.gather(_database(settings), _broker(settings, domains))
    return [found, *database, *broker]


def _domains(settings: Settings) -> tuple[Finding, Sequence[Domain]]:
    try:
        domains = load_domains(settings.worker_domains)
    except HandlerError as error:
        return Finding(part="domains", good=False, text=sentence(error)), ()
    texts = (f"{domain.name} ({len(domain.deciders)} commands)" for domain in domains)
    return Finding(part="domains", good=True, text=", ".join(texts)), domains


async def _database(settings: Settings) -> list[Finding]:
    if not settings.database_url:
        return [Finding(part="database", good=False, text="DATABASE_URL is not set; name the primary database.")]
    primary, head = await _primary(settings.database_url)
    replicas = [
        await _replica(settings.database_url if primary.good else None, url, head)
        for url in settings.database_replica_urls
    ]
    admin = [await _admin(settings.database_admin_url)] if settings.database_admin_url else []
    return [primary, *replicas, *admin]


async def _primary(url: str) -> tuple[Finding, int]:
    part = f"database {_address(url)}"
    try:
        async with PostgresEventStore.connect(url, pool_size=1, application_name="worker check") as store:
            head = (await store.query(_BEYOND)).position.number
            # An append of nothing needs every right that a worker needs, and leaves nothing.
            await store.append(())
    except EventStoreError as error:
        return Finding(part=part, good=False, text=sentence(error)), 0
    text = f"accepts appends, {head:,} events, schema version {SCHEMA_VERSION} or newer"
    return Finding(part=part, good=True, text=text), head


async def _replica(primary_url: str | None, url: str, head: int) -> Finding:
    part = f"replica {_address(url)}"
    try:
        async with PostgresEventStore.connect(url, pool_size=1, application_name="worker check"):
            text = "it accepts writes, so it is no replica; correct DATABASE_REPLICA_URLS."
            return Finding(part=part, good=False, text=text)
    except EventStoreError as error:
        if error.code != _READ_ONLY_SERVER:
            return Finding(part=part, good=False, text=f"{sentence(error)} Until then, its reads go to the primary.")
    if primary_url is None:
        return Finding(part=part, good=True, text="answers; how far it lags cannot be told without the primary")
    async with PostgresEventStore.connect(
        primary_url, replica_urls=(url,), pool_size=1, application_name="worker check"
    ) as store:
        stream = await store.query(_BEYOND, consistency=Consistency.EVENTUAL)
    if not stream.replica:
        text = "it answers, but not to this role, or it has not replayed the migration; look at its log."
        return Finding(part=part, good=False, text=text)
    behind = max(0, head - stream.position.number)
    return Finding(part=part, good=True, text=f"answers reads, {behind:,} events behind")


async def _admin(url: str) -> Finding:
    part = f"admin database {_address(url)}"
    try:
        report = await migrate(url, dry_run=True)
    except EventStoreError as error:
        return Finding(part=part, good=False, text=sentence(error).replace("DATABASE_URL", "DATABASE_ADMIN_URL"))
    if report.applied:
        versions = f"schema version {report.before}, this program needs {report.after}"
        return Finding(part=part, good=False, text=f"{versions}: run `worker db migrate`.")
    return Finding(part=part, good=True, text=f"schema version {report.before}, nothing to migrate")


async def _broker(settings: Settings, domains: Sequence[Domain]) -> list[Finding]:
    if not settings.amqp_url:
        return [Finding(part="broker", good=False, text="AMQP_URL is not set; name the RabbitMQ broker.")]
    part = f"broker {broker_address(settings.amqp_url)}"
    findings = []
    # Without a domain there is no queue to ask for, but the broker can still be reached or not.
    for topology in [Topology(domain.name) for domain in domains] or [Topology("worker-check")]:
        try:
            found = await backlog(settings.amqp_url, topology)
        except BrokerError as error:
            return [Finding(part=part, good=False, text=sentence(error))]
        if not domains:
            continue
        if found is None:
            text = "not there yet; the first `worker run` makes it"
        else:
            text = (
                f"{found.waiting:,} waiting, {found.consumers:,} consumers, {found.resting:,} to be retried, "
                f"{found.dead:,} dead letters"
            )
        findings.append(Finding(part=f"queue {topology.queue}", good=True, text=text))
    return [Finding(part=part, good=True, text="takes our connection"), *findings]


def _address(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path
