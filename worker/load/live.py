"""The live view: shows a load run while it runs, as a table on a terminal and as lines elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rich.console import Console
from rich.live import Live
from rich.table import Table

from eventstore.counted import counted
from worker.load.figures import duration, percentile
from worker.load.tally import Tally

__all__ = ["watching"]

_TABLE_SECONDS = 0.25
_LINE_SECONDS = 2.0


class View:
    """Shows a tally. Rates and latencies are those since the last update.

    Args:
        tally: The tally.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._answered = 0
        self._seconds = 0.0
        self._rate = 0.0
        self._recent: tuple[float, ...] = ()

    def advance(self) -> None:
        """Update rates and latencies."""
        tally = self._tally
        seconds, answered = tally.seconds, tally.answered
        if answered > self._answered and seconds > self._seconds:
            self._rate = (answered - self._answered) / (seconds - self._seconds)
            self._recent = tuple(sorted(tally.latencies[self._answered :]))
            self._answered, self._seconds = answered, seconds

    def phase(self) -> str:
        """Return the current phase, in a few words."""
        tally = self._tally
        if tally.began is None:
            return f"set-up: {len(tally.replies):,} of {len(tally.commands):,} sent commands are settled"
        return f"{tally.answered:,} of {counted(tally.total, 'command')}"

    def line(self) -> str:
        """Return the state as a line."""
        if self._tally.began is None:
            return self.phase()
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self._kinds())
        return f"{self.phase()}, {self._rate:,.0f}/s, p50 {self._p(50)}, p99 {self._p(99)}; {kinds}"

    def __rich__(self) -> Table:
        """Return the state as a table."""
        table = Table(title=self.phase(), title_justify="left", box=None, pad_edge=False, header_style="bold")
        kinds = self._kinds()
        for heading in ("commands/s", "p50", "p99", *(kind for kind, _ in kinds), "copies"):
            table.add_column(heading, justify="right", min_width=9)
        counts = (f"{count:,}" for _, count in kinds)
        table.add_row(f"{self._rate:,.0f}", self._p(50), self._p(99), *counts, f"{self._tally.copies:,}")
        return table

    def _p(self, percent: float) -> str:
        return duration(percentile(self._recent, percent)) if self._recent else "-"

    def _kinds(self) -> list[tuple[str, int]]:
        kinds = dict.fromkeys(("accepted", "rejected", "unchanged"), 0)
        for (kind, _), count in self._tally.outcomes.items():
            kinds[kind] = kinds.get(kind, 0) + count
        return list(kinds.items())


@asynccontextmanager
async def watching(tally: Tally, console: Console) -> AsyncIterator[None]:
    """Show a tally inside the ``async with``, and its last state at the end."""
    view = View(tally)
    drawing = asyncio.create_task(_draw_table(view, console) if console.is_terminal else _print_lines(view, console))
    try:
        yield
    finally:
        drawing.cancel()
        with suppress(asyncio.CancelledError):
            await drawing


async def _draw_table(view: View, console: Console) -> None:
    with Live(view, console=console, auto_refresh=False) as live:
        try:
            while True:
                await asyncio.sleep(_TABLE_SECONDS)
                view.advance()
                live.refresh()
        finally:
            view.advance()
            live.refresh()


async def _print_lines(view: View, console: Console) -> None:
    try:
        while True:
            await asyncio.sleep(_LINE_SECONDS)
            view.advance()
            console.print(view.line(), highlight=False, soft_wrap=True)
    finally:
        view.advance()
        console.print(view.line(), highlight=False, soft_wrap=True)
