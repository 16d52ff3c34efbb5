"""The registry: imports domains by their places, as ``WORKER_DOMAINS`` lists them."""

import importlib
from collections.abc import Iterable
from operator import attrgetter

from pydantic import PydanticUserError

from handlers.domain import Domain
from handlers.errors import DomainNotFound, HandlerError, InvalidDomain
from handlers.kind import kind_of
from handlers.model import DomainEvent
from handlers.place import raised_at

__all__ = ["check_one_log", "load_domains"]

_OURS = ("eventstore", "handlers", "worker")


def load_domains(places: str, *, one_log: bool = True) -> tuple[Domain, ...]:
    """Import domains.

    Args:
        places: The places of the domains, each as ``module:attribute``, separated by commas.
        one_log: Whether all of them record their events in one log; by default True.

    Returns:
        The domains, in the same order; at least one.

    Raises:
        DomainNotFound: A place is malformed or cannot be imported, holds no domain, or two domains share a name.
        InvalidDomain: The domains cannot share one log, as in ``check_one_log``.
    """
    domains: dict[str, Domain] = {}
    for place in filter(None, (part.strip() for part in places.split(","))):
        domain = _load(place)
        if domain.name in domains:
            raise DomainNotFound(f"WORKER_DOMAINS names two domains that are called {domain.name}")
        domains[domain.name] = domain
    if not domains:
        raise DomainNotFound(
            "WORKER_DOMAINS names no domain; give it the form module:attribute, such as handlers.library:domain for "
            "the example"
        )
    if one_log:
        check_one_log(domains.values())
    return tuple(domains.values())


def check_one_log(domains: Iterable[Domain]) -> None:
    """Check that domains can share a log, in which an event's type is its name alone.

    Raises:
        InvalidDomain: Two of them use one event name for two classes, so that one would read events of the other, or
            have different upcasters for one event.
    """
    found: dict[str, tuple[Domain, type[DomainEvent]]] = {}
    for domain in domains:
        for name, event in domain.event_models.items():
            first, known = found.setdefault(name, (domain, event))
            if known is not event:
                raise InvalidDomain(
                    f"the domains {first.name} and {domain.name} each have an event {name} of their own, and would "
                    "confuse the two; rename one, or let both use one class"
                )
            if first.lineages.get(name) != domain.lineages.get(name):
                raise InvalidDomain(
                    f"the domains {first.name} and {domain.name} have other upcasters for the event {name}, and would "
                    "read it differently; give both the same"
                )


def _load(place: str) -> Domain:
    module_name, _, attribute = place.partition(":")
    if not module_name or module_name.startswith(".") or not attribute:
        raise DomainNotFound(f"WORKER_DOMAINS: {place!r} must have the form module:attribute{_example(place)}")
    if ":" in attribute:
        raise DomainNotFound(f"WORKER_DOMAINS: {place!r} has several colons; separate domains by commas")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = f"there is no module {error.name}" if error.name else str(error)
        advice = _if_taken(error.name or "") or _way_to(module_name, attribute, error.name)
        raise DomainNotFound(f"WORKER_DOMAINS: {module_name} cannot be imported: {missing}; {advice}") from error
    except (Exception, SystemExit) as error:  # a module of the domain may raise anything when it is imported
        raise DomainNotFound(f"WORKER_DOMAINS: {_cannot(module_name, error)}") from error
    there = " or ".join(sorted(name for name, value in vars(module).items() if isinstance(value, Domain)))
    meant = f"; did you mean {there}?" if there else ""
    try:
        found = attrgetter(attribute)(module)
    except AttributeError:
        taken = None if meant or "." in module_name else _if_taken(module_name)
        advice = f"; {taken}" if taken else meant
        raise DomainNotFound(f"WORKER_DOMAINS: {module_name} has no attribute {attribute}{advice}") from None
    if not isinstance(found, Domain):
        raise DomainNotFound(f"WORKER_DOMAINS: {place} is no Domain, but {kind_of(found)}{meant}")
    return found


def _cannot(module_name: str, error: BaseException) -> str:
    """Return why a module cannot be imported, and the line of its own code."""
    line = raised_at(error)
    where = "" if line is None else f" ({line[1]})"
    if isinstance(error, HandlerError):
        return f"{module_name}{where}: {error}"
    if isinstance(error, SyntaxError):
        where, said = f" ({error.filename}:{error.lineno})", error.msg
    elif isinstance(error, PydanticUserError):
        # The rest are remedies that do not apply to a domain, and a URL.
        said = f"{error.message.partition('. ')[0]}; give its field a type that JSON has, or a model of such types"
        return f"{module_name} cannot be imported{where}: {said}"
    else:
        said = str(error)
    return f"{module_name} cannot be imported{where}: {type(error).__name__}: {said}"


def _example(place: str) -> str:
    """Suggest a complete place for one without a colon, if possible."""
    module = place.removesuffix(":").removesuffix(".domain")
    return f", such as {module}:domain" if all(map(str.isidentifier, module.split("."))) else ""


def _way_to(module_name: str, attribute: str, missing: str | None) -> str:
    """Return the advice for a missing module: the named one, or one that it imports."""
    if module_name.endswith(".py"):
        return f"a module is named as it is imported: {module_name[:-3].replace('/', '.')}:{attribute}"
    way = "install its package, or correct the name"
    return f"run this in the folder that has it, {way}" if missing == module_name.partition(".")[0] else way


def _if_taken(module_name: str) -> str | None:
    """Return what to do if a module was looked for in a package of this program instead of the user's own."""
    package = module_name.partition(".")[0]
    if package not in _OURS:
        return None
    return f"{package} is a package of this program: if yours is meant, give it another name"
