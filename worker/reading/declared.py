"""Which projections are meant, where their events are, and where their tables go."""

from collections.abc import Sequence
from dataclasses import dataclass

from handlers import Domain
from worker.errors import ProjectionError
from worker.reading.builds import Declared
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.stores import StoreSettings, stores_of

__all__ = ["Target", "chosen", "targets_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Projections of one log, whose tables go into one database.

    Attributes:
        store: The log.
        url: The database of the tables.
        declared: The projections.
    """

    store: StoreSettings
    url: str
    declared: tuple[Declared, ...]


def targets_of(settings: Settings, names: Sequence[str] = ()) -> list[Target]:
    """Return what is to be run, by log.

    Args:
        settings: The addresses, and the domains.
        names: Which projections, as ``projection`` or ``domain.projection``; none: all.

    Raises:
        ProjectionError: There are none, or none of such a name.
        SettingsError: An address is missing or wrong.
    """
    domains = served_domains(settings)
    wanted = chosen(domains, names)
    if not wanted:
        listed = ", ".join(domain.name for domain in domains)
        raise ProjectionError(f"no domain of WORKER_DOMAINS has a projection: {listed} has none")
    targets = []
    for store in stores_of(settings, [domain.name for domain in domains]):
        declared = tuple(each for each in wanted if each.domain.name in store.domains)
        if declared:
            targets.append(Target(store=store, url=settings.projections_url or store.database_url, declared=declared))
    return targets


def chosen(domains: Sequence[Domain], names: Sequence[str]) -> list[Declared]:
    """Return the projections of some names.

    Raises:
        ProjectionError: There is none of a name, or several domains have one.
    """
    every = [Declared(domain=domain, projection=each) for domain in domains for each in domain.projections]
    if not names:
        return every
    found: dict[object, Declared] = {}
    for name in names:
        matching = [each for each in every if name in {each.projection.name, str(each.name)}]
        if len(matching) != 1:
            known = ", ".join(str(each.name) for each in matching or every) or "none"
            problem = f"several projections are called {name}" if matching else f"there is no projection {name!r}"
            raise ProjectionError(f"{problem}; {'say which of' if matching else 'known are'} {known}")
        found[matching[0].name] = matching[0]
    return list(found.values())
