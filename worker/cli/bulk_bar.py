"""The bar of imports and adoptions: count, rate, and time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
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

__all__ = ["bulk_bar"]


class _CountColumn(ProgressColumn):
    """The column with done and total counts, and the rate."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        told = f"{task.completed:,.0f} of {task.total or 0:,.0f} events"
        return Text(told if rate is None else f"{told}, {rate:,.0f} a second")


@contextmanager
def bulk_bar(doing: str, *, is_bytes: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error: see ``bulk_progress``."""
    columns = (DownloadColumn(), TransferSpeedColumn()) if is_bytes else (_CountColumn(),)
    with Progress(
        TextColumn(doing),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(doing, total=None)
        begun = False

        def told(done: int, total: int) -> None:
            nonlocal begun
            if begun:
                bar.update(task, completed=done, total=total)
            else:
                # What was done before this process began must not count for its rate.
                bar.reset(task, completed=done, total=total)
                begun = True

        yield told
