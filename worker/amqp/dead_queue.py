"""The dead queue: browses a domain's dead letters in order, and returns them to the queue unchanged."""

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
    """One domain's dead-letter queue, over a connection of its own. Opened with ``open``."""

    def __init__(self, url: str, topology: Topology) -> None:
        self.topology = topology
        self._link = Link(url, name=f"worker dead-letters {topology.domain_name}")

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, topology: Topology, *, timeout: float = 5.0) -> AsyncIterator[Self]:  # noqa: ASYNC109  an open end would hide a wrong address
        """Connect, and close the connection at the end of the ``async with``. Nothing is declared.

        Args:
            url: The broker's address.
            topology: The domain's queues.
            timeout: How long connecting may take, in seconds.

        Raises:
            BrokerUnavailable: The broker cannot be reached, or the connection broke later.
            BrokerMisconfigured: The broker refuses the connection.
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
        """Return how many letters are ready, not counting those that a browser holds; None if there is no queue."""
        wire = await self._link.wire()
        try:
            return await ready(wire, self.topology.dead_queue)
        except ChannelNotFoundEntity:
            return None

    @asynccontextmanager
    async def walk(self, most: int) -> AsyncIterator[QueueBrowser]:
        """Browse the letters, from the oldest to the newest.

        At the end of the ``async with``, also by an error or a cancellation, every letter that was not acknowledged
        returns to its place. If the process is killed or the connection breaks, the broker requeues them in an order of
        its choice.

        Args:
            most: The most letters to browse. It ends the browsing where new letters keep coming.

        Raises:
            BrokerUnavailable: The connection broke, or the queue was deleted.
        """
        walk = QueueBrowser(await self._link.wire(), self.topology.dead_queue, most)
        try:
            yield walk
        finally:
            # Without an answer, the broker requeues everything by itself when the connection is closed.
            with KeptCancellation(*LOST):
                async with asyncio.timeout(_GIVE_BACK_SECONDS):
                    await walk.give_back()
