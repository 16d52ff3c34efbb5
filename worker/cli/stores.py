"""Stores: which of them a command is about, where domains have several."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from worker.cli.failures import Mistake, is_known, sentence
from worker.cli.suggestion import meant
from worker.cli.terminal import tell
from worker.domain_variables import setting_of, suffix_of, suffixes
from worker.errors import SettingsError
from worker.settings import Settings, not_set
from worker.stores import AddressField, StoreSettings, stores_of

__all__ = ["DomainOption", "check_replicas", "chosen", "chosen_one", "document", "domain_names", "in_turn"]

DomainOption = Annotated[
    str | None,
    typer.Option(metavar="DOMAIN", help="Whose database, where domains have several; without this, all of them."),
]


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
            known = f"those with a database of their own are {', '.join(own)}" if own else "none has its own database"
            raise Mistake(f"WORKER_DOMAINS names no domain {domain!r}, for it is not set; {known}.")
        return [] if domain is None else [domain]
    from worker.served_domains import served_domains  # noqa: PLC0415  most calls need no domain

    names = [each.name for each in served_domains(settings)]
    if domain is not None and domain not in names:
        hint = meant(domain, names)
        known = f"{hint} It" if hint else "it"
        raise Mistake(f"there is no domain {domain!r} in WORKER_DOMAINS; {known} names {', '.join(names)}.")
    return names


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


def check_replicas(store: StoreSettings, *, wanted: bool) -> None:
    """See that a store has replicas, if they are wanted.

    Raises:
        SettingsError: It has none.
    """
    field = "database_replica_urls"
    if wanted and not store.database_replica_urls:
        raise SettingsError(not_set(setting_of(field, store.suffix), field=field))


@contextmanager
def in_turn(store: StoreSettings, stores: Sequence[StoreSettings], *, silent: bool = False) -> Iterator[None]:
    """Do one store's part: where there are several, name it before what is told, and in what fails.

    Args:
        store: The store.
        stores: All that are done, one after the other.
        silent: Whether nothing is told, because it is told in the end as JSON.

    Raises:
        Mistake: The part fails, and there are several.
    """
    if len(stores) == 1:
        yield
        return
    if not silent:
        tell(f"{store}:")
    try:
        yield
    except Exception as error:
        if not is_known(error):
            raise
        raise Mistake(f"{store}: {sentence(error)}") from error


def document(stores: Sequence[StoreSettings], documents: Sequence[Mapping[str, Any]]) -> Any:
    """Return what is printed as JSON: one store's document, or a list with one for each, which says whose it is."""
    if len(stores) == 1:
        return documents[0]
    return [
        {"domains": store.domains, "address": store.place, **each}
        for store, each in zip(stores, documents, strict=True)
    ]
