"""Chosen stores: those that a person means who names a domain, or none."""

from worker.domain_variables import suffix_of, suffixes
from worker.failures import Mistake
from worker.settings import Settings
from worker.stores import AddressField, StoreSettings, stores_of

__all__ = ["chosen", "chosen_one", "domain_names"]


def domain_names(settings: Settings, domain: str | None = None) -> list[str]:
    """Return the names of the domains, if they matter: where one is asked for, or some have their own databases.

    Returns:
        Those of WORKER_DOMAINS; nothing where they do not matter, or WORKER_DOMAINS is not set.

    Raises:
        Mistake: The domain that is asked for is none of them.
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
    """Return the store of a domain, or without one all stores, of which there is at least one.

    Args:
        settings: The addresses.
        domain: The domain that was asked for.
        by: The address that the command uses.

    Raises:
        Mistake, DomainNotFound: As ``domain_names``.
        SettingsError: As ``stores_of``.
    """
    return stores_of(settings, domain_names(settings, domain), by=by, only=domain)


def chosen_one(settings: Settings, domain: str | None, *, by: AddressField = "database_url") -> StoreSettings:
    """Return the store that is meant, for what makes sense with one store only. Raises as ``chosen``.

    Raises:
        Mistake: There are several, and no domain was asked for.
    """
    found = chosen(settings, domain, by=by)
    if len(found) > 1:
        raise Mistake(
            "there are several databases, each with a log of its own: say whose with --domain, of "
            f"{'; '.join(map(str, found))}."
        )
    return found[0]
