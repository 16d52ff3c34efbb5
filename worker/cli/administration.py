"""Administration: reports failures at a database of another variable than DATABASE_URL."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventstore import StoreMisconfigured
from worker.failures import Mistake, naming
from worker.stores import StoreSettings

__all__ = ["administering"]

# SQLSTATE insufficient_privilege. The store's own advice is for the role of workers.
_LACKS_RIGHT = "42501"


@contextmanager
def administering(store: StoreSettings) -> Iterator[None]:
    """Give failures inside the ``with`` advice about the administrator's address of a store.

    Args:
        store: The store.

    Raises:
        Mistake: The role lacks the right.
    """
    variable = store.variable("database_admin_url")
    try:
        with naming(variable):
            yield
    except StoreMisconfigured as error:
        if error.code != _LACKS_RIGHT:
            raise
        raise Mistake(
            f"the role of {variable} has no right to do this: name the database's owner there ({error.__cause__})."
        ) from error
