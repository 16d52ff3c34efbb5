"""The inspection: what of a worker's surroundings can be used, what cannot, and what to do about it."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from eventstore import EventStoreError
from eventstore.counted import counted
from eventstore.postgres import migrate
from handlers.domain import Domain
from handlers.errors import HandlerError
from worker.amqp.backlog import Backlog, backlog
from worker.amqp.policies import alternate_of, rules_of
from worker.amqp.refusals import broker_address
from worker.amqp.shard_bindings import is_reached, wrong_bindings
from worker.cli.database_inspection import look_at_primary, look_at_replicas
from worker.cli.findings import Finding
from worker.cli.followers_inspection import inspect_followers
from worker.cli.pages import pages
from worker.cli.queue_rules import WAY, losses, older_dead_queue
from worker.errors import BrokerError, SettingsError
from worker.failures import naming, sentence
from worker.master_keys import check_master_keys
from worker.misspelt import unknown
from worker.served_domains import served_domains
from worker.settings import Settings, not_set
from worker.stores import StoreSettings, place_of, stores_of, unread
from worker.topology import EXCHANGE, Topology

__all__ = ["inspect"]


async def inspect(settings: Settings, domain: str | None = None, *, followers: bool = False) -> list[Finding]:
    """Inspect every part that the settings name. Nothing is changed.

    Args:
        settings: The worker's settings.
        domain: The domain whose parts are inspected; None for all.
        followers: Whether it is an error if `worker follow` lacks something.

    Returns:
        One finding for each part, in the order in which a person would fix them; at the end, the pages that can be
        opened.
    """
    found, served = _domains(settings)
    domains = [each for each in served if domain in {None, each.name}]
    database, broker, opened, followed = await asyncio.gather(
        _databases(settings, served, domain),
        _broker(settings, domains),
        pages(settings),
        inspect_followers(settings, domains, needed=followers),
    )
    views = [finding for each in domains for finding in _views(each)]
    return [
        found,
        *_variables(settings, served),
        *_telemetry(),
        *_master_keys(settings, domains),
        *views,
        *database,
        *broker,
        *opened,
        *followed,
    ]


def _domains(settings: Settings) -> tuple[Finding, Sequence[Domain]]:
    try:
        domains = served_domains(settings)
    except (HandlerError, SettingsError) as error:
        return Finding(part="domains", good=False, text=sentence(error)), ()
    texts = (f"{domain.name} ({counted(len(domain.deciders), 'command')})" for domain in domains)
    return Finding(part="domains", good=True, text=", ".join(texts)), domains


def _variables(settings: Settings, domains: Sequence[Domain]) -> list[Finding]:
    names = list(unknown(os.environ, Settings.variables()))
    # Without the domains, it is not known whether the variables belong to one.
    names += unread(settings, [domain.name for domain in domains]) if domains else []
    return (
        [Finding(part="settings", good=True, text=f"{', '.join(names)}: not a setting, and ignored")] if names else []
    )


def _telemetry() -> list[Finding]:
    """Return what prevents a worker from starting: ``OTEL_*`` variables that are wrong."""
    if not any("OTEL_" in name for name in os.environ):
        return []
    from worker.telemetry.providers import Telemetry  # noqa: PLC0415  it loads OpenTelemetry's SDK

    try:
        Telemetry.check()
    except SettingsError as error:
        return [Finding(part="telemetry", good=False, text=line) for line in str(error).splitlines()]
    return []


def _master_keys(settings: Settings, domains: Sequence[Domain]) -> list[Finding]:
    """Return what prevents a worker from starting: a missing or invalid key, or no package that encrypts."""
    try:
        check_master_keys(settings, domains)
    except SettingsError as error:
        return [Finding(part="master keys", good=False, text=sentence(error))]
    sealed = [domain.name for domain in domains if domain.sensitive]
    return [Finding(part="master keys", good=True, text=f"set, for {', '.join(sealed)}")] if sealed else []


def _views(domain: Domain) -> Iterator[Finding]:
    """Yield findings about a domain's views that no event can match, and about those that cannot be checked."""
    part = f"views of {domain.name}"
    for problem in domain.examination.problems():
        yield Finding(part=part, good=False, text=f"{problem}.")
    for unseen in domain.examination.unsampled():
        yield Finding(part=part, good=True, text=unseen)


async def _databases(settings: Settings, domains: Sequence[Domain], only: str | None) -> list[Finding]:
    if not settings.database_url and not settings.domain_databases:
        return [Finding(part="database", good=False, text=not_set("database_url"))]
    try:
        stores = stores_of(settings, [domain.name for domain in domains], only=only)
    except SettingsError as error:
        return [Finding(part="database", good=False, text=line) for line in str(error).splitlines()]
    names = [f" of {', '.join(store.domains)}" if len(stores) > 1 else "" for store in stores]
    found = await asyncio.gather(*(_database(store) for store in stores))
    return [
        replace(finding, part=f"{finding.part}{name}")
        for name, findings in zip(names, found, strict=True)
        for finding in findings
    ]


async def _database(store: StoreSettings) -> list[Finding]:
    # At the same time: a person waits for the timeouts of servers that are silent.
    servers, admin = await asyncio.gather(_servers(store), _admin(store))
    return servers + admin


async def _servers(store: StoreSettings) -> list[Finding]:
    primary, head = await look_at_primary(store)
    replicas = await look_at_replicas(store, head if primary.good else None)
    return [primary, *(finding for finding, _ in replicas)]


async def _admin(store: StoreSettings) -> list[Finding]:
    if not store.database_admin_url:
        return []
    part = f"admin database {place_of(store.database_admin_url, store.database_schema)}"
    try:
        with naming(store.variable("database_admin_url")):
            report = await migrate(store.database_admin_url, schema=store.database_schema, dry_run=True)
    except EventStoreError as error:
        return [Finding(part=part, good=False, text=sentence(error))]
    if report.applied:
        versions = f"schema version {report.before}, this program needs {report.after}"
        return [Finding(part=part, good=False, text=f"{versions}: run `worker db migrate`.")]
    return [Finding(part=part, good=True, text=f"schema version {report.before}, nothing to migrate")]


async def _broker(settings: Settings, domains: Sequence[Domain]) -> list[Finding]:
    if not settings.amqp_url:
        return [Finding(part="broker", good=False, text=not_set("amqp_url"))]
    part = f"broker {broker_address(settings.amqp_url)}"
    findings = []
    # Without a domain there is no queue to check, but the broker is connected to all the same.
    for topology in [Topology.of(domain) for domain in domains] or [Topology("worker-check")]:
        try:
            found = await backlog(settings.amqp_url, topology)
        except BrokerError as error:
            return [Finding(part=part, good=False, text=sentence(error))]
        if domains:
            findings.append(_queue(topology, found))
            if found is not None:
                findings += await _entrance(settings, topology)
            findings += await _rules(settings, topology)
            findings += await _bindings(settings, topology)
    return [Finding(part=part, good=True, text="accepts connections"), *findings, *await _alternate(settings)]


async def _alternate(settings: Settings) -> list[Finding]:
    """Return a note if publishers are not told that nobody serves a domain."""
    if not settings.rabbitmq_management_url:
        return []
    try:
        found = await alternate_of(settings.rabbitmq_management_url, settings.amqp_url, EXCHANGE)
    except BrokerError:
        return []  # told of the policies
    if found is None:
        return []
    policy, exchange = found
    text = (
        f"the policy {policy} sends what no queue takes to the exchange {exchange}: a publisher is told that its "
        f"command is stored, though no worker serves the domain: {WAY}"
    )
    return [Finding(part=f"exchange {EXCHANGE}", good=True, note=True, text=text)]


def _queue(topology: Topology, found: Backlog | None) -> Finding:
    part = f"queue {topology.queue}"
    if found is None:
        return Finding(
            part=part,
            good=True,
            text="not declared yet; `worker topology declare` declares it, and so does the first `worker run` that may",
        )
    if not found.fits(topology):
        wanted = "no affinity" if topology.shards is None else counted(topology.shards, "shard")
        there = [counted(found.shards, "shard")] * bool(found.shards) + [
            f"the queue {topology.queue}"
        ] * found.has_plain
        text = f"the domain has {wanted}, and the broker {' and '.join(there)}: {topology.way_out}."
        return Finding(part=part, good=False, text=text)
    if found.missing_rights:
        rights = "; ".join(found.missing_rights)
        text = f"the user of AMQP_URL lacks rights that `worker run` needs: {rights}. docs/broker.md names them all."
        return Finding(part=part, good=False, text=text)
    served = counted(found.consumers, "consumer")
    if topology.shards is not None:
        served = f"{found.consumers:,} of {counted(found.shards, 'shard')} consumed"
    text = f"{found.waiting:,} waiting, {served}, {found.resting:,} to be retried, {counted(found.dead, 'dead letter')}"
    return Finding(part=part, good=True, text=text)


async def _rules(settings: Settings, topology: Topology) -> list[Finding]:
    """Return findings about policies by which messages can be lost."""
    part = f"policies of {topology.queue}"
    if not settings.rabbitmq_management_url:
        text = "not checked; set RABBITMQ_MANAGEMENT_URL to find policies that can lose messages"
        return [Finding(part=part, good=True, text=text)]
    names = [name for name, _ in replace(topology, has_schedule=True).queues()]
    try:
        rules = await rules_of(settings.rabbitmq_management_url, settings.amqp_url, names)
    except BrokerError as error:
        return [Finding(part=part, good=False, text=f"{error}.")]
    # A domain may have no schedule queue: then it has nothing to lose.
    rules = {queue: its for queue, its in rules.items() if its.arguments or queue != topology.schedule_queue}
    found = [Finding(part=part, good=False, text=f"{loss}: {WAY}.") for loss in losses(topology, rules)]
    if found:
        return found
    text = "none that can lose messages"
    if older_dead_queue(topology, rules):
        text += (
            f"; but {topology.dead_queue}, made by an older version, would drop letters under a length policy: {WAY}"
        )
    return [Finding(part=part, good=True, text=text)]


async def _entrance(settings: Settings, topology: Topology) -> list[Finding]:
    """Look whether commands reach the queues that are there."""
    if not settings.rabbitmq_management_url:
        return []
    try:
        if await is_reached(settings.rabbitmq_management_url, settings.amqp_url, topology):
            return []
    except BrokerError:
        return []  # told of the policies
    text = (
        f"no command reaches {topology.queue}: the exchange {topology.exchange} is gone, or what binds them; "
        "run `worker topology declare`, or start a worker anew."
    )
    return [Finding(part=f"exchange {topology.exchange}", good=False, text=text)]


async def _bindings(settings: Settings, topology: Topology) -> list[Finding]:
    """Return findings about bindings by which commands of one key go to more than one shard."""
    if topology.shards is None or not settings.rabbitmq_management_url:
        return []
    part = f"bindings of {topology.shard_exchange}"
    try:
        wrong = await wrong_bindings(settings.rabbitmq_management_url, settings.amqp_url, topology)
    except BrokerError as error:
        return [Finding(part=part, good=False, text=f"{error}.")]
    if not wrong:
        return [Finding(part=part, good=True, text="each shard once")]
    text = (
        f"{', '.join(wrong)}; each shard must be bound once, with the weight 1, and nothing else may be bound; every "
        f"change moves keys to other shards; {topology.way_out}."
    )
    return [Finding(part=part, good=False, text=text)]
