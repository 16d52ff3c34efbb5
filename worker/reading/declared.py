"""What is meant of what follows the log, where its events are, and where its checkpoints and tables go."""

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
"""The kinds of what follows the log."""

AnyDeclared: TypeAlias = Declared | Output
"""What follows the log, as its domain declares it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What follows one log, and has its checkpoints in one database.

    Attributes:
        store: The log.
        url: The database of the checkpoints, and of the tables.
        variable: What names that database.
        declared: What follows it.
    """

    store: StoreSettings
    url: str
    variable: str
    declared: tuple[AnyDeclared, ...]


def targets_of(
    settings: Settings, names: Sequence[str] = (), *, kinds: Collection[str] = (PROJECTION,), may_be_none: bool = False
) -> list[Target]:
    """Return what is to be run, by log.

    Args:
        settings: The addresses, and the domains.
        names: Which, as ``name`` or ``domain.name``; none: all.
        kinds: Of which kinds.
        may_be_none: Whether it is no mistake that there are none.

    Raises:
        FollowerError: There are none, or none of such a name.
        SettingsError: An address is missing or wrong.
    """
    domains = served_domains(settings)
    wanted = chosen(domains, names, kinds=kinds)
    if not wanted and not may_be_none:
        listed = ", ".join(domain.name for domain in domains)
        raise FollowerError(f"no domain of WORKER_DOMAINS has a {' or a '.join(kinds)}: {listed} has none")
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
    """Return what is meant by some names.

    Raises:
        FollowerError: There is none of a name, or several domains have one.
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
            raise FollowerError(f"{problem}; {'say which of' if matching else 'known are'} {known}")
        found[matching[0].name] = matching[0]
    return list(found.values())


def sends(target: Target) -> bool:
    """Whether something of it is sent to the broker."""
    return any(isinstance(each, Output) for each in target.declared)


def _of(domain: Domain) -> list[AnyDeclared]:
    projections: list[AnyDeclared] = [Declared(domain=domain, projection=each) for each in domain.projections]
    reactions = [Output(domain=domain, output=each) for each in domain.reactions]
    return [*projections, *reactions, *(Output(domain=domain, output=each) for each in domain.relays)]
