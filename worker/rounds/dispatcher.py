"""The dispatcher: bounded concurrency, in tasks that no channel owns."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from worker.amqp.delivery import Delivery

__all__ = ["Dispatcher", "Job"]

_log = logging.getLogger(__name__)

Job = tuple[Delivery, Callable[[Delivery], Awaitable[None]]]


class Dispatcher:
    """Runs deliveries in a fixed number of tasks, first come, first served.

    The tasks are the dispatcher's own: a channel that closes cancels its tasks, and a decision that is cut short during
    its append has an unknown outcome.

    Args:
        concurrency: How many deliveries run at the same time.
    """

    def __init__(self, concurrency: int) -> None:
        self._waiting: asyncio.Queue[Job] = asyncio.Queue()
        self._running: set[Delivery] = set()
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._returns: set[asyncio.Task[None]] = set()
        self._runners = [asyncio.create_task(self._run(), name=f"runner-{number}") for number in range(concurrency)]

    @property
    def running(self) -> int:
        """How many deliveries have started and not ended."""
        return len(self._running)

    def submit(self, delivery: Delivery, handle: Callable[[Delivery], Awaitable[None]]) -> None:
        """Queue a delivery for its handler, or give it back at once when we drain."""
        if self._draining:
            task = asyncio.create_task(delivery.give_back())
            self._returns.add(task)
            task.add_done_callback(self._returns.discard)
        else:
            self._waiting.put_nowait((delivery, handle))

    async def drain(self, deadline: float) -> int:
        """Give back what has not started, and let what has started finish.

        Args:
            deadline: How long it may take, in seconds. What has not finished by then is abandoned to the broker.

        Returns:
            How many deliveries were abandoned.

        On cancellation everything that runs is abandoned.
        """
        self._draining = True
        while not self._waiting.empty():
            delivery, _ = self._waiting.get_nowait()
            await self._leave(delivery)
        try:
            async with asyncio.timeout(deadline):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("%d commands did not finish within %g s", self.running, deadline)
        finally:
            abandoned = self.running
            await self.close()
        return abandoned

    async def close(self) -> None:
        """Stop at once. What runs is abandoned to the broker, which delivers it again."""
        self._draining = True
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, *self._returns, return_exceptions=True)

    async def _leave(self, delivery: Delivery) -> None:
        if delivery.is_lost:
            delivery.abandon()
        else:
            await delivery.give_back()

    async def _run(self) -> None:
        while True:
            delivery, handle = await self._waiting.get()
            if delivery.is_lost:
                delivery.abandon()
                continue
            self._running.add(delivery)
            self._idle.clear()
            try:
                await handle(delivery)
            except Exception:  # noqa: BLE001  one delivery's failure must not end its runner
                # Nothing is acknowledged, so nothing is lost: the broker delivers it again, and counts.
                _log.exception("settling delivery %d failed", delivery.tag)
                if not delivery.has_ended:
                    await delivery.give_back()
            finally:
                if not delivery.has_ended:
                    delivery.abandon()
                self._running.discard(delivery)
                if not self._running:
                    self._idle.set()
