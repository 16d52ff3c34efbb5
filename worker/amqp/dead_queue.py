"""The dead queue: a domain's dead letters, looked at in their order, and given back as they were."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiormq.exceptions import ChannelNotFoundEntity

from worker.amqp.connection import Link
from worker.amqp.kept_cancellation import KeptCancellation
from worker.amqp.queue_browser import QueueBrowser, ready
from worker.amqp.refusals import LOST
from worker.topology import Topology

__all__ = ["DeadQueue"]

_GIVE_BACK_SECONDS = 30.0


class DeadQueue:
    """One domain's dead queue, over a connection of its own. Opened with ``open``."""

    def __init__(self, url: str, topology: Topology) -> None:
        self.topology = topology
        self._link = Link(url, name=f"worker dead-letters {topology.domain_name}")

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, topology: Topology, *, timeout: float = 5.0) -> AsyncIterator[Self]:  # noqa: ASYNC109  an open end would hide a wrong address
        """Connect, and close at the end of the ``async with``. Nothing is declared.

        Args:
            url: The broker.
            topology: The domain's queues.
            timeout: How long connecting may take, in seconds.

        Raises:
            BrokerUnavailable: The broker is out of reach, or the connection broke later.
            BrokerMisconfigured: It refuses us.
        """
        queue = cls(url, topology)
        try:
            async with queue._link.translating(holds_groups=True):
                async with asyncio.timeout(timeout):
                    await queue._link.wire()
                yield queue
        finally:
            await queue._link.close()

    async def count(self) -> int | None:
        """Return how many letters wait, not counting those that somebody looks at now; None if there is no queue."""
        wire = await self._link.wire()
        try:
            return await ready(wire, self.topology.dead_queue)
        except ChannelNotFoundEntity:
            return None

    @asynccontextmanager
    async def walk(self, most: int) -> AsyncIterator[QueueBrowser]:
        """QueueBrowser from the oldest letter towards the newest.

        At the end of the ``async with``, also by an error or a cancellation, whatever was not acknowledged goes back
        to its place. If we are killed or the connection breaks, the broker puts it back, in an order of its choice.

        Args:
            most: How many letters to walk. It bounds the walk where new ones keep coming.

        Raises:
            BrokerUnavailable: The connection broke, or the queue was deleted.
        """
        walk = QueueBrowser(await self._link.wire(), self.topology.dead_queue, most)
        try:
            yield walk
        finally:
            # Without an answer the broker puts everything back by itself, when the connection is closed.
            with KeptCancellation(*LOST):
                async with asyncio.timeout(_GIVE_BACK_SECONDS):
                    await walk.give_back()
