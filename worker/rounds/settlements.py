"""The settlements in progress: deliveries that cannot be settled at once, each of which ends one way or the other."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from worker.amqp.delivery import Delivery

__all__ = ["Settlements"]

_log = logging.getLogger(__name__)


class Settlements:
    """Runs the tasks that settle deliveries.

    A delivery whose task fails is given back to its queue. One whose task is cancelled is left to the broker, which
    delivers it again.
    """

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], Delivery] = {}

    def begin(self, delivery: Delivery, settle_it: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a task that settles a delivery.

        Args:
            delivery: The delivery.
            settle_it: Returns the coroutine that settles it.
        """
        task = asyncio.get_running_loop().create_task(_see_to(delivery, settle_it))
        self._tasks[task] = delivery
        task.add_done_callback(self._ended)

    def give_back(self, delivery: Delivery) -> None:
        """Have a delivery returned to its place in the queue."""
        self.begin(delivery, partial(_give_back, delivery))

    async def finish(self, seconds: float) -> int:
        """Wait until all tasks have ended.

        Args:
            seconds: The longest time to wait.

        Returns:
            How many tasks have not ended by then.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        return len(self._tasks)

    async def close(self) -> None:
        """Cancel all tasks."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        delivery = self._tasks.pop(task)
        if delivery.is_open:
            # Its task was cancelled: the broker delivers the message again.
            delivery.abandon()


async def _see_to(delivery: Delivery, settle_it: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        await settle_it()
    except Exception:  # noqa: BLE001  one delivery's failure is not another's
        # It is not acknowledged, so nothing is lost: the broker delivers it again, and counts that.
        _log.exception("settling delivery %d failed", delivery.tag)
        if delivery.is_open:
            await _give_back(delivery)


async def _give_back(delivery: Delivery) -> None:
    if delivery.is_lost:
        delivery.abandon()
    else:
        await delivery.give_back()
