"""Owners: finds a domain by its own name, or by that of something it has."""

from collections.abc import Callable, Iterable, Sequence

from handlers.domain import Domain
from worker.failures import Mistake
from worker.suggestion import meant

__all__ = ["named", "owner_of"]


def named(domains: Iterable[Domain], name: str | None) -> list[Domain]:
    """Return the domain with this name; all domains without a name.

    Args:
        domains: The domains of WORKER_DOMAINS.
        name: The name that was typed; None for all.

    Raises:
        Mistake: No domain has this name.
    """
    every = list(domains)
    if name is not None and name not in {each.name for each in every}:
        hint = meant(name, (each.name for each in every))
        known = ", ".join(each.name for each in every)
        raise Mistake(f"there is no domain {name!r} in WORKER_DOMAINS; {f'{hint} It' if hint else 'it'} names {known}.")
    return [each for each in every if name in {None, each.name}]


def owner_of(
    what: str, name: str, domains: Sequence[Domain], names_of: Callable[[Domain], Iterable[str]], *, by: str = ""
) -> Domain:
    """Return the one domain that has something with this name.

    Args:
        what: The kind of thing, such as ``view``, for the message.
        name: The name that was typed.
        domains: The domains to search.
        names_of: Returns the names of all things of this kind in a domain.
        by: Further text about the known names, for the message if none of them is similar.

    Raises:
        Mistake: No domain has it, or several have.
    """
    owners = [each for each in domains if name in set(names_of(each))]
    if len(owners) > 1:
        several = ", ".join(each.name for each in owners)
        raise Mistake(f"{name} is a {what} of several domains ({several}); choose one with --domain.")
    if owners:
        return owners[0]
    names = [known for each in domains for known in names_of(each)]
    if not names:
        lacking = ", ".join(each.name for each in domains)
        raise Mistake(
            f"there is no {what} {name!r}, nor any other in {lacking}; name another domain in WORKER_DOMAINS."
        )
    hint, known = meant(name, names), ", ".join(names)
    told = f"{hint} Known are {known}." if hint else f"known are {known}{by}."
    raise Mistake(f"there is no {what} {name!r}; {told}")
