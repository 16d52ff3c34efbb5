"""The handover: copies a delivery to another queue, for as long as the broker takes to store the copy."""

import asyncio
import logging
import time
from collections.abc import Mapping
from enum import Enum
from typing import Any

from eventstore.backoff import Backoff
from worker.amqp.delivery import Delivery
from worker.amqp.sender import Sender
from worker.errors import BrokerError, MessageRefused, Unroutable
from worker.rounds.forwarding import forward
from worker.topology import Topology

__all__ = ["Handover", "Sent"]

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Sent(Enum):
    """The result of sending a copy."""

    STORED = "stored"
    """The copy is in its queue."""
    REFUSED = "refused"
    """The broker refuses the copy because of its size or content; another try would be refused as well."""
    LOST = "lost"
    """The delivery's channel is lost, and the broker delivers the message again."""


class Handover:
    """Sends deliveries on to the other queues of their domain.

    A copy that is not confirmed is not sent again while the connection stands: a broker that is short of memory or disk
    reads nothing for a while, and would later store every copy.

    Args:
        sender: The connection to publish on.
        topology: The queues of the domain. A queue that was deleted is declared again.
        patience: How long a copy may wait before a warning is logged, in seconds.
    """

    def __init__(self, sender: Sender, topology: Topology, *, patience: float = _PATIENCE_SECONDS) -> None:
        self._sender = sender
        self._topology = topology
        self._patience = patience
        # One declaration at a time: the first caller that finds a queue missing declares it.
        self._declaring = asyncio.Lock()
        # When each copy began to wait. The oldest comes first.
        self._waiting: dict[Delivery, float] = {}
        self._reason: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why copies have waited for longer than ``patience``; None if none has."""
        oldest = next(iter(self._waiting.values()), None)
        if oldest is None or time.monotonic() - oldest < self._patience:
            return None
        why = self._reason or "the broker does not answer"
        return f"deliveries of {self._topology.domain_name} that wait to be forwarded: {len(self._waiting):,} ({why})"

    async def complete(
        self, delivery: Delivery, queue: str, headers: Mapping[str, Any], *, rest: float | None = None
    ) -> Sent:
        """Send a delivery on, for as long as that takes, unless its channel is lost.

        Args:
            delivery: The delivery to copy. It is not acknowledged.
            queue: Name of the queue that gets the copy.
            headers: Headers to add to the original's, or to replace there.
            rest: Time to live of the copy in that queue, in seconds; None for the queue's own.

        Returns:
            Whether the copy is stored, refused, or lost with the delivery's channel.

        On cancellation the copy may still be stored.
        """
        loss = delivery.loss
        sending: asyncio.Future[Sent] = asyncio.create_task(self._send(delivery, queue, headers, rest))
        self._waiting[delivery] = time.monotonic()
        try:
            told = False
            while not sending.done() and not loss.done():
                done, _ = await asyncio.wait(
                    {sending, loss}, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    level = logging.DEBUG if told else logging.WARNING
                    why = str(await self._sender.diagnosis())
                    self._reason = self._reason or why
                    _log.log(level, "not stored in %s yet: %s", queue, why)
                    told = True
            if sending.done():
                return sending.result()
        finally:
            del self._waiting[delivery]
            if not self._waiting:
                self._reason = None
            loss.cancel()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        delivery.abandon()
        return Sent.LOST

    async def _send(self, delivery: Delivery, queue: str, headers: Mapping[str, Any], rest: float | None) -> Sent:
        """Publish until it is stored. Each try ends with a confirmation, a refusal, or the loss of the connection."""
        backoff = Backoff(first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        told: str | None = None  # each reason is logged once
        while True:
            try:
                await self._try(delivery, queue, headers, rest)
            except MessageRefused as error:
                _log.error("cannot be forwarded to %s: %s", queue, error)
                return Sent.REFUSED
            except BrokerError as error:
                self._reason = f"{queue}: {error}"
                if told != (told := str(error)):
                    _log.warning("cannot forward to %s: %s", queue, error)
                await backoff.rest()
            else:
                return Sent.STORED

    async def _try(self, delivery: Delivery, queue: str, headers: Mapping[str, Any], rest: float | None) -> None:
        try:
            await self._forward(delivery, queue, headers, rest)
        except Unroutable:
            # Consuming does not use that queue, so without this it would be declared only at the next start.
            async with self._declaring:
                # Without a limit, as for copies: giving up may lose the connection on which others wait.
                await self._sender.declare(self._topology, timeout=None)
            _log.warning("declared the queues of %s again: there was no %s", self._topology.domain_name, queue)
            await self._forward(delivery, queue, headers, rest)

    async def _forward(self, delivery: Delivery, queue: str, headers: Mapping[str, Any], rest: float | None) -> None:
        await forward(
            self._sender, delivery.body, delivery.properties, queue=queue, headers=headers, rest=rest, timeout=None
        )
