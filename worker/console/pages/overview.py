"""The overview: queues, workers, outcomes and latencies now, and the hottest parts."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from worker.console.attempt import CachedAnswer
from worker.console.console import Console
from worker.console.known_workers import Throughput
from worker.console.queues import QueueRow
from worker.console.rendering import bars
from worker.counters import End

__all__ = ["Overview"]

_REFRESH_SECONDS = 2
_WIDTH, _HEIGHT = 600, 80


class Overview:
    """The page ``/``.

    Args:
        console: What the pages share.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._queues: CachedAnswer[Sequence[QueueRow]] = CachedAnswer(self._look, seconds=_REFRESH_SECONDS - 0.2)

    async def show(self, _: Request) -> Response:
        """Show the overview."""
        console = self._console
        queues = await self._queues.get()
        rows = console.workers.rows()
        course = console.workers.throughput()
        return console.renderer.page(
            "overview.html",
            refresh=_REFRESH_SECONDS,
            queues=queues,
            has_rates=bool(console.settings.rabbitmq_management_url),
            workers=rows,
            living=sum(row.lives for row in rows),
            gone=sum(row.is_gone for row in rows),
            trouble=console.receiver.trouble,
            refused=console.workers.refused,
            figures=console.workers.figures(),
            ends=[end for end in End if end is not End.RETURNED and end is not End.LOST_CHANNEL],
            chart=_chart(course),
            hottest=console.workers.hottest(),
        )

    async def _look(self) -> Sequence[QueueRow]:
        return await self._console.queues.look(self._console.topologies())


def _chart(course: Throughput) -> dict[str, object]:
    peak = max(*course.settled, *course.conflicts)
    most = max(peak, 1.0)
    return {
        "peak": peak,
        "width": _WIDTH,
        "height": _HEIGHT,
        "seconds": int(course.step * len(course.settled)),
        "settled": bars(course.settled, width=_WIDTH, height=_HEIGHT, most=most),
        "conflicts": bars(course.conflicts, width=_WIDTH, height=_HEIGHT, most=most),
    }
