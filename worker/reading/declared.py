"""The projections, reactions and relays to run, with the log of their events and the database of their checkpoints."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from handlers import Domain
from worker.errors import FollowerError
from worker.reading.builds import KIND as PROJECTION
from worker.reading.builds import Declared
from worker.reading.outputs import REACTION, RELAY, Output
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.stores import StoreSettings, stores_of

__all__ = ["EVERY_KIND", "PROJECTION", "REACTION", "RELAY", "AnyDeclared", "Target", "chosen", "sends", "targets_of"]

EVERY_KIND = (PROJECTION, REACTION, RELAY)
"""All kinds of followers."""

AnyDeclared: TypeAlias = Declared | Output
"""A projection, reaction or relay, as its domain declares it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The followers of one log with checkpoints in one database.

    Attributes:
        store: The store with the log.
        url: Address of the database of checkpoints and tables.
        variable: The environment variable of that address.
        declared: The projections, reactions and relays.
    """

    store: StoreSettings
    url: str
    variable: str
    declared: tuple[AnyDeclared, ...]


def targets_of(
    settings: Settings, names: Sequence[str] = (), *, kinds: Collection[str] = (PROJECTION,), may_be_none: bool = False
) -> list[Target]:
    """Return the followers to run, grouped by log.

    Args:
        settings: The worker's settings.
        names: Their names, as ``name`` or ``domain.name``; empty for all.
        kinds: The kinds to return.
        may_be_none: Whether it is allowed that there are none.

    Raises:
        FollowerError: There are none, or none with one of the names.
        SettingsError: An address is missing or wrong.
    """
    domains = served_domains(settings)
    wanted = chosen(domains, names, kinds=kinds)
    if not wanted and not may_be_none:
        listed = ", ".join(domain.name for domain in domains)
        lists = " or ".join(f"{kind}s=(…,)" for kind in kinds)
        raise FollowerError(
            f"no domain of WORKER_DOMAINS has a {' or a '.join(kinds)}: {listed} has none; a domain lists them, as "
            f"{lists}"
        )
    targets = []
    for store in stores_of(settings, [domain.name for domain in domains]):
        declared = tuple(each for each in wanted if each.domain.name in store.domains)
        if declared:
            url, variable = store.database_url, store.variable("database_url")
            if settings.projections_url:
                url, variable = settings.projections_url, "PROJECTIONS_URL"
            targets.append(Target(store=store, url=url, variable=variable, declared=declared))
    return targets


def chosen(
    domains: Sequence[Domain], names: Sequence[str], *, kinds: Collection[str] = (PROJECTION,)
) -> list[AnyDeclared]:
    """Return the projections, reactions or relays with these names.

    Args:
        domains: The domains to search.
        names: Their names, as ``name`` or ``domain.name``; empty for all.
        kinds: The kinds to search.

    Raises:
        FollowerError: A name is unknown, or several domains have it.
    """
    every = [each for domain in domains for each in _of(domain) if each.name.kind in kinds]
    if not names:
        return every
    kind = " or ".join(kinds)
    found: dict[object, AnyDeclared] = {}
    for name in names:
        matching = [each for each in every if name in {each.name.name, str(each.name)}]
        if len(matching) != 1:
            known = ", ".join(str(each.name) for each in matching or every) or "none"
            problem = f"several domains have a {kind} {name}" if matching else f"there is no {kind} {name!r}"
            raise FollowerError(f"{problem}; {'choose one of' if matching else 'known are'} {known}")
        found[matching[0].name] = matching[0]
    return list(found.values())


def sends(target: Target) -> bool:
    """Whether any of its followers sends to the broker."""
    return any(isinstance(each, Output) for each in target.declared)


def _of(domain: Domain) -> list[AnyDeclared]:
    projections: list[AnyDeclared] = [Declared(domain=domain, projection=each) for each in domain.projections]
    reactions = [Output(domain=domain, output=each) for each in domain.reactions]
    return [*projections, *reactions, *(Output(domain=domain, output=each) for each in domain.relays)]
