"""Progress of imports and adoptions, and what is said when they end too early."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from eventstore import OutcomeUnknown, StoreUnavailable
from worker.cli.administration import administering
from worker.failures import Mistake, sentence
from worker.stores import StoreSettings

__all__ = ["bulk_progress", "told_to_go_on"]


@contextmanager
def bulk_progress(doing: str, *, is_bytes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with rate and time left on standard error inside the ``with``, if that is a terminal.

    Args:
        doing: The label of the bar.
        is_bytes: Whether bytes are counted; otherwise events.

    Yields:
        A function to call with how much is done, and the total. The work begins with the first call's count.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from worker.cli.bulk_bar import bulk_bar  # noqa: PLC0415  only when a bar is drawn

    with bulk_bar(doing, is_bytes=is_bytes) as told:
        yield told


@contextmanager
def told_to_go_on(store: StoreSettings, kept: str = "Recorded events stay recorded") -> Iterator[None]:
    """Add to temporary failures that what was done is kept, and that the command can be repeated.

    Args:
        store: The store.
        kept: A sentence, without its full stop, about what is kept.

    Raises:
        Mistake: The connection was lost, or a failure that ``administering`` converts.
    """
    try:
        with administering(store):
            yield
    except (OutcomeUnknown, StoreUnavailable) as error:
        raise Mistake(
            f"{sentence(error).rstrip('.')}. {kept}: run the same command again to continue after them."
        ) from error
