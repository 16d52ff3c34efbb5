"""Served domains: imports the domains of WORKER_DOMAINS, and checks that those that share a store are compatible."""

from handlers.domain import Domain
from handlers.registry import check_one_log, load_domains
from worker.errors import SettingsError
from worker.settings import Settings, not_set
from worker.stores import stores_of

__all__ = ["served_domains"]


def served_domains(settings: Settings) -> tuple[Domain, ...]:
    """Import the domains of WORKER_DOMAINS.

    Raises:
        SettingsError: WORKER_DOMAINS is not set.
        DomainNotFound: A domain cannot be imported: as in ``load_domains``.
        InvalidDomain: Two domains that share a store give the same event name to different classes.
    """
    if not settings.worker_domains:
        raise SettingsError(not_set("worker_domains"))
    if not settings.domain_databases:
        return load_domains(settings.worker_domains)
    domains = load_domains(settings.worker_domains, one_log=False)
    try:
        stores = stores_of(settings, [domain.name for domain in domains])
    except SettingsError:  # reported by commands that need a store; a publisher needs none
        stores = ()
    for store in stores:
        check_one_log(domain for domain in domains if domain.name in store.domains)
    return domains
