"""The registry: finds domains by where they are, as ``WORKER_DOMAINS`` says."""

import importlib
from operator import attrgetter

from handlers.domain import Domain
from handlers.errors import DomainNotFound

__all__ = ["load_domains"]


def load_domains(places: str) -> tuple[Domain, ...]:
    """Import domains.

    Args:
        places: Where they are, each as ``module:attribute``, separated by commas.

    Returns:
        The domains, in that order; at least one.

    Raises:
        DomainNotFound: A place is malformed or not importable, holds no domain, or two domains share a name.
    """
    domains: dict[str, Domain] = {}
    for place in filter(None, (part.strip() for part in places.split(","))):
        domain = _load(place)
        if domain.name in domains:
            raise DomainNotFound(f"WORKER_DOMAINS names two domains that are called {domain.name}")
        domains[domain.name] = domain
    if not domains:
        raise DomainNotFound("WORKER_DOMAINS names no domain; give it the form module:attribute")
    return tuple(domains.values())


def _load(place: str) -> Domain:
    module_name, _, attribute = place.partition(":")
    if not module_name or module_name.startswith(".") or not attribute:
        raise DomainNotFound(f"WORKER_DOMAINS: {place!r} must have the form module:attribute")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = f"there is no module {error.name}" if error.name else str(error)
        raise DomainNotFound(
            f"WORKER_DOMAINS: {module_name} cannot be imported: {missing}; install its package, or correct the name"
        ) from error
    except (Exception, SystemExit) as error:  # whatever a module of somebody's does when it is imported
        raise DomainNotFound(
            f"WORKER_DOMAINS: {module_name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    try:
        found = attrgetter(attribute)(module)
    except AttributeError:
        raise DomainNotFound(f"WORKER_DOMAINS: {module_name} has no attribute {attribute}") from None
    if not isinstance(found, Domain):
        raise DomainNotFound(f"WORKER_DOMAINS: {place} is no Domain, but of type {type(found).__name__}")
    return found
