"""The settlements under way: deliveries that cannot be settled at once, each of which ends one way or the other."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from worker.amqp.delivery import Delivery

__all__ = ["Settlements"]

_log = logging.getLogger(__name__)


class Settlements:
    """Runs what settles deliveries. One that fails is given back, one that is cut short is left to the broker."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], Delivery] = {}

    def begin(self, delivery: Delivery, settle_it: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have a delivery settled.

        Args:
            delivery: The delivery.
            settle_it: Settles it.
        """
        task = asyncio.get_running_loop().create_task(_see_to(delivery, settle_it))
        self._tasks[task] = delivery
        task.add_done_callback(self._ended)

    def give_back(self, delivery: Delivery) -> None:
        """Have a delivery put back at its place in the queue."""
        self.begin(delivery, partial(_give_back, delivery))

    async def finish(self, seconds: float) -> int:
        """Let all of them end.

        Args:
            seconds: How long that may take.

        Returns:
            How many have not.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        return len(self._tasks)

    async def close(self) -> None:
        """Cut all of them short."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        delivery = self._tasks.pop(task)
        if delivery.is_open:
            # It was cut short: the broker delivers the message again.
            delivery.abandon()


async def _see_to(delivery: Delivery, settle_it: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        await settle_it()
    except Exception:  # noqa: BLE001  one delivery's failure is not another's
        # Nothing is acknowledged, so nothing is lost: the broker delivers it again, and counts.
        _log.exception("settling delivery %d failed", delivery.tag)
        if delivery.is_open:
            await _give_back(delivery)


async def _give_back(delivery: Delivery) -> None:
    if delivery.is_lost:
        delivery.abandon()
    else:
        await delivery.give_back()
