"""Stores on a terminal: output about one store, or about several in turn."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from worker.cli.terminal import tell
from worker.domain_variables import setting_of
from worker.errors import SettingsError
from worker.failures import Mistake, is_known, sentence
from worker.settings import not_set
from worker.stores import StoreSettings

__all__ = ["check_replicas", "document", "in_turn"]


def check_replicas(store: StoreSettings, *, wanted: bool) -> None:
    """Check that a store has replicas, if they are wanted.

    Raises:
        SettingsError: Replicas are wanted, and the store has none.
    """
    field = "database_replica_urls"
    if wanted and not store.database_replica_urls:
        raise SettingsError(not_set(setting_of(field, store.suffix), field=field))


@contextmanager
def in_turn(store: StoreSettings, stores: Sequence[StoreSettings], *, silent: bool = False) -> Iterator[None]:
    """Run one store's part: if there are several, name the store before its output, and in its error.

    Args:
        store: The store.
        stores: All stores, which are handled in turn.
        silent: Whether nothing is printed, because JSON is printed at the end.

    Raises:
        Mistake: The part fails, and there are several stores.
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
    """Return the JSON value to print: one store's document, or a list of all, each with its domains and address."""
    if len(stores) == 1:
        return documents[0]
    return [
        {"domains": store.domains, "address": store.place, **each}
        for store, each in zip(stores, documents, strict=True)
    ]
