"""Administration: reports failures at a database of another variable than DATABASE_URL."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventstore import StoreMisconfigured, StoreUnavailable
from worker.failures import Mistake, store_advice
from worker.stores import StoreSettings

__all__ = ["administering", "reaching"]

# SQLSTATE insufficient_privilege. The store's own advice is for the role of workers.
_LACKS_RIGHT = "42501"


@contextmanager
def administering(store: StoreSettings) -> Iterator[None]:
    """Convert failures inside the ``with`` into advice about the administrator's address of a store.

    Args:
        store: The store.

    Raises:
        Mistake: The server cannot be reached, or the role lacks the right.
    """
    variable = store.variable("database_admin_url")
    try:
        with reaching(variable):
            yield
    except StoreMisconfigured as error:
        if error.code != _LACKS_RIGHT:
            raise
        raise Mistake(
            f"the role of {variable} has no right to do this: name the database's owner there ({error.__cause__})."
        ) from error


@contextmanager
def reaching(variable: str) -> Iterator[None]:
    """Name the variable of a server that cannot be reached.

    Raises:
        Mistake: The server cannot be reached.
    """
    try:
        yield
    except StoreUnavailable as error:
        raise Mistake(f"{error}; {store_advice(error.code, variable)}.") from error
