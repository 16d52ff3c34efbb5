"""The handover: a delivery moves on to another queue, however long the broker takes to store it there."""

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any

from worker.amqp.delivery import Delivery
from worker.amqp.sender import Sender
from worker.errors import BrokerError, Unroutable
from worker.rounds.forwarding import forward
from worker.topology import Topology

__all__ = ["Handover"]

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 10.0
_LONGEST_PAUSE = 5.0


class Handover:
    """Sends deliveries on to the other queues of their domain.

    A copy whose confirmation does not come is not sent again while the connection stands: a broker that is short of
    memory or disk reads nothing for now, and would store every copy in the end.

    Args:
        sender: Sends them.
        topology: Whose queues. One that somebody has deleted is declared again.
    """

    def __init__(self, sender: Sender, topology: Topology) -> None:
        self._sender = sender
        self._topology = topology
        # Whoever misses a queue declares it, one after another.
        self._declaring = asyncio.Lock()

    async def complete(
        self, delivery: Delivery, queue: str, headers: Mapping[str, Any], *, rest: float | None = None
    ) -> bool:
        """Send a delivery on, for as long as it takes, unless its channel is lost meanwhile.

        Args:
            delivery: What to send on. It is not acknowledged.
            queue: Where to.
            headers: What to add to, or replace among, its headers.
            rest: How long the copy may stay there, in seconds; None for as long as the queue lets it.

        Returns:
            Whether the copy is stored. If not, the delivery is lost to us, and the broker delivers it again.

        On cancellation the copy may still be stored.
        """
        loss = delivery.loss
        sending: asyncio.Future[None] = asyncio.create_task(self._send(delivery, queue, headers, rest))
        try:
            told = False
            while not sending.done() and not loss.done():
                done, _ = await asyncio.wait(
                    {sending, loss}, timeout=_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    level = logging.DEBUG if told else logging.WARNING
                    _log.log(level, "not stored in %s yet: %s", queue, await self._sender.diagnose())
                    told = True
            if sending.done():
                sending.result()
                return True
        finally:
            loss.cancel()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        delivery.abandon()
        return False

    async def _send(self, delivery: Delivery, queue: str, headers: Mapping[str, Any], rest: float | None) -> None:
        """Try until it is stored. Each try ends with a confirmation, a refusal, or the loss of the connection."""
        pause = 0.1
        told: str | None = None  # each reason is told once
        while True:
            try:
                await self._try(delivery, queue, headers, rest)
            except BrokerError as error:
                if told != (told := str(error)):
                    _log.warning("cannot send on to %s: %s", queue, error)
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311  jitter, not a secret
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return

    async def _try(self, delivery: Delivery, queue: str, headers: Mapping[str, Any], rest: float | None) -> None:
        try:
            await self._forward(delivery, queue, headers, rest)
        except Unroutable:
            # Consuming goes on without that queue, so nobody else would declare it before the next start.
            async with self._declaring:
                await self._sender.declare(self._topology)
            _log.warning("declared the queues of %s again: there was no %s", self._topology.domain_name, queue)
            await self._forward(delivery, queue, headers, rest)

    async def _forward(self, delivery: Delivery, queue: str, headers: Mapping[str, Any], rest: float | None) -> None:
        await forward(
            self._sender, delivery.body, delivery.properties, queue=queue, headers=headers, rest=rest, timeout=None
        )
