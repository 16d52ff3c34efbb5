"""Chosen stores: the stores that a ``--domain`` option, or its absence, selects."""

from worker.domain_variables import suffix_of, suffixes
from worker.failures import Mistake
from worker.settings import Settings
from worker.stores import AddressField, StoreSettings, stores_of

__all__ = ["chosen", "chosen_one", "domain_names"]


def domain_names(settings: Settings, domain: str | None = None) -> list[str]:
    """Return the names of the domains, if they matter: if one was named, or some have their own databases.

    Args:
        settings: The worker's settings.
        domain: The domain that was named, if any.

    Returns:
        The names in WORKER_DOMAINS; empty if they do not matter, or if WORKER_DOMAINS is not set.

    Raises:
        Mistake: The named domain is not one of them.
        DomainNotFound: A domain cannot be imported.
    """
    if domain is None and not settings.domain_databases:
        return []
    if not settings.worker_domains:
        own = [suffix.lower().replace("_", "-") for suffix in suffixes(settings.domain_databases)]
        if domain is not None and suffix_of(domain) not in suffixes(settings.domain_databases):
            known = f"only {', '.join(own)} have databases of their own" if own else "none has a database of its own"
            raise Mistake(f"there is no domain {domain!r}: WORKER_DOMAINS is not set, and {known}.")
        return [] if domain is None else [domain]
    from worker.owners import named  # noqa: PLC0415  most calls need no domain
    from worker.served_domains import served_domains  # noqa: PLC0415  the same

    served = served_domains(settings)
    named(served, domain)
    return [each.name for each in served]


def chosen(settings: Settings, domain: str | None, *, by: AddressField = "database_url") -> tuple[StoreSettings, ...]:
    """Return the store of a domain; without a domain all stores, at least one.

    Args:
        settings: The worker's settings.
        domain: The domain that was named, if any.
        by: The address that the command uses; it must be set.

    Raises:
        Mistake, DomainNotFound: The domain is unknown, or one cannot be imported: as in ``domain_names``.
        SettingsError: The addresses are wrong or incomplete: as in ``stores_of``.
    """
    return stores_of(settings, domain_names(settings, domain), by=by, only=domain)


def chosen_one(settings: Settings, domain: str | None, *, by: AddressField = "database_url") -> StoreSettings:
    """Return the selected store, for commands that need exactly one. The arguments are those of ``chosen``.

    Raises:
        Mistake: There are several stores, and no domain was named; or as in ``chosen``.
        DomainNotFound, SettingsError: As in ``chosen``.
    """
    found = chosen(settings, domain, by=by)
    if len(found) > 1:
        raise Mistake(
            "there are several databases, each with a log of its own: choose one with --domain, of "
            f"{'; '.join(map(str, found))}."
        )
    return found[0]
