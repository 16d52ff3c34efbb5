"""How imports and adoptions are shown while they last, and what is said when they end too early."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from eventstore import EventStoreError, OutcomeUnknown, StoreUnavailable
from worker.cli.administration import administering
from worker.cli.failures import Mistake, sentence
from worker.cli.terminal import progress_console

__all__ = ["bulk_progress", "told_to_go_on"]


class _CountColumn(ProgressColumn):
    """How many of how many, and how many a second."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        told = f"{task.completed:,.0f} of {task.total or 0:,.0f} events"
        return Text(told if rate is None else f"{told}, {rate:,.0f} a second")


@contextmanager
def bulk_progress(doing: str, *, is_bytes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with rate and time left on standard error during the ``with``, if that is a terminal.

    Args:
        doing: What is done.
        is_bytes: Whether bytes are counted, and not events.

    Yields:
        What is told how much is done, and of how much. With what it is told first the work begins.
    """
    columns: tuple[ProgressColumn, ...] = (DownloadColumn(), TransferSpeedColumn()) if is_bytes else (_CountColumn(),)
    console = progress_console()
    with Progress(
        TextColumn(doing),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(doing, total=None)
        begun = False

        def told(done: int, total: int) -> None:
            nonlocal begun
            if begun:
                bar.update(task, completed=done, total=total)
            else:
                # What was done before this process began is no measure of its rate.
                bar.reset(task, completed=done, total=total)
                begun = True

        yield told


@contextmanager
def told_to_go_on() -> Iterator[None]:
    """Say of what may pass that what was recorded stays, and can be gone on with.

    Raises:
        Mistake: As ``administering`` says; or the connection was lost in between.
    """
    try:
        with administering():
            yield
    except OutcomeUnknown as error:
        raise Mistake(_gone_on_with(error)) from error
    except Mistake as mistake:
        if isinstance(mistake.__cause__, StoreUnavailable):
            raise Mistake(_gone_on_with(mistake)) from mistake.__cause__
        raise


def _gone_on_with(error: EventStoreError | Mistake) -> str:
    return f"{sentence(error).rstrip('.')}. What was recorded stays: the same command goes on behind it."
