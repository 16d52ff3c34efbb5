"""Served domains: those that WORKER_DOMAINS names, as far as their stores let them live side by side."""

from handlers.domain import Domain
from handlers.registry import check_one_log, load_domains
from worker.errors import SettingsError
from worker.settings import Settings, not_set
from worker.stores import stores_of

__all__ = ["served_domains"]


def served_domains(settings: Settings) -> tuple[Domain, ...]:
    """Import the domains that are served.

    Raises:
        SettingsError: WORKER_DOMAINS is not set.
        DomainNotFound: As ``load_domains``.
        InvalidDomain: Two domains that share a store give one event name to two classes.
    """
    if not settings.worker_domains:
        raise SettingsError(not_set("worker_domains"))
    if not settings.domain_databases:
        return load_domains(settings.worker_domains)
    domains = load_domains(settings.worker_domains, one_log=False)
    try:
        stores = stores_of(settings, [domain.name for domain in domains])
    except SettingsError:  # told by what needs a store; a publisher needs none
        stores = ()
    for store in stores:
        check_one_log(domain for domain in domains if domain.name in store.domains)
    return domains
