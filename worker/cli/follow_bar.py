"""The bars of followers: how far each has come, at which rate, and the time left."""

import asyncio
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from worker.leased_service import LeasedService
from worker.reading.coordinator import Coordinator
from worker.reading.metrics import Figures
from worker.waiting import first_of

__all__ = ["show"]

_SECONDS = 0.5
_tasks: set["asyncio.Task[None]"] = set()


def show(service: LeasedService, stop: asyncio.Event) -> None:
    """Show a bar on standard error for each follower that has not caught up, until ``stop`` is set."""
    followed = [part.figures for part in service.parts if isinstance(part, Coordinator)]
    task = asyncio.create_task(_show(followed, stop))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _show(followed: Sequence[Callable[[], Sequence[Figures]]], stop: asyncio.Event) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    bars: dict[tuple[str, int], TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        while not stop.is_set():
            behind = {(each.name, each.version): each for asked in followed for each in asked() if each.behind}
            for key in bars.keys() - behind.keys():
                progress.remove_task(bars.pop(key))
            for key, each in behind.items():
                if key not in bars:
                    bars[key] = progress.add_task(each.name, total=each.head, completed=each.number, rate="")
                    progress.reset(bars[key], total=each.head, completed=each.number, rate="")
                speed = next(task for task in progress.tasks if task.id == bars[key]).speed
                rate = "" if speed is None else f"{speed:,.0f} a second"
                progress.update(bars[key], completed=each.number, total=each.head, rate=rate)
            await first_of(stop, within=_SECONDS)
