"""Administration: how failures at the database of DATABASE_ADMIN_URL are told."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventstore import StoreMisconfigured, StoreUnavailable
from worker.cli.failures import Mistake, store_advice

__all__ = ["administering"]

# SQLSTATE insufficient_privilege. The store's own advice is for the role that workers use.
_LACKS_RIGHT = "42501"


@contextmanager
def administering() -> Iterator[None]:
    """Say what is wrong with DATABASE_ADMIN_URL, if it is that.

    Raises:
        Mistake: The server cannot be reached, or the role may not do this.
    """
    try:
        yield
    except StoreUnavailable as error:
        raise Mistake(f"{error}; {store_advice(error.code, 'DATABASE_ADMIN_URL')}.") from error
    except StoreMisconfigured as error:
        if error.code != _LACKS_RIGHT:
            raise
        raise Mistake(
            f"the role of DATABASE_ADMIN_URL may not do this: name the database's owner ({error.__cause__})."
        ) from error
