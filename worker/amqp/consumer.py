"""The consumer: keeps consuming one domain's queue, whatever happens to the connection."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aio_pika.abc import AbstractChannel

from worker.amqp.acknowledgements import Acknowledgements
from worker.amqp.connection import Link, WireChannel
from worker.amqp.declaration import compare, declare_missing
from worker.amqp.delivery import Delivery
from worker.amqp.delivery_reader import DeliveryReader, Received, passed_by
from worker.amqp.dialing import HEARTBEAT_SECONDS
from worker.amqp.interruption import Interruption
from worker.amqp.kept_cancellation import KeptCancellation
from worker.amqp.refusals import LOST
from worker.counters import Counters
from worker.errors import BrokerError
from worker.topology import Topology

__all__ = ["Consumer"]

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0


class Consumer:
    """Consumes one of a domain's queues over a connection of its own.

    After a broken connection, a restart of the broker, or a consumer cancelled by the broker, the connection is opened
    again, missing queues and exchanges are declared, and consuming goes on.

    Args:
        url: The broker's address.
        topology: The queues and exchanges to declare if missing.
        prefetch: The most unsettled deliveries at a time.
        counters: Counts deliveries.
        deliver: Called with each delivery, in order. It must not block: it is called while the connection is read.
        may_begin: Awaited before consuming begins again. The broker counts every delivery that a broken connection
            returns: if the connection broke repeatedly while nothing can be decided, deliveries would reach the limit.
        queue: Name of the queue to consume; by default the topology's work queue.
        heartbeat: Interval of heartbeats, in seconds, as for ``Link``.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        *,
        prefetch: int,
        counters: Counters,
        deliver: Callable[[Delivery], None],
        may_begin: Callable[[], Awaitable[object]],
        queue: str | None = None,
        heartbeat: int = HEARTBEAT_SECONDS,
    ) -> None:
        self._topology = topology
        self._queue = queue or topology.queue
        self._prefetch = prefetch
        self._counters = counters
        self._deliver = deliver
        self._may_begin = may_begin
        self._interruption = Interruption(self._queue)
        self._link = Link(
            url,
            name=f"worker {topology.domain_name if queue is None else queue}",
            prepare=self._consume,
            reader=DeliveryReader,
            heartbeat=heartbeat,
            on_trouble=self._interruption.tell,
        )
        self._wire: WireChannel | None = None
        self._tag: str | None = None
        self._acks: Acknowledgements | None = None
        self._broken = asyncio.Event()
        # None while the broker has this consumer.
        self._interrupted_at: float | None = time.monotonic()

    @property
    def queue(self) -> str:
        """Name of the queue that is consumed."""
        return self._queue

    @property
    def is_consuming(self) -> bool:
        """Whether deliveries can arrive now."""
        return self._interrupted_at is None and self._wire is not None and not self._wire.is_closed

    @property
    def interrupted_for(self) -> float:
        """For how long no delivery could arrive, in seconds; 0 while they can."""
        return 0.0 if self._interrupted_at is None else time.monotonic() - self._interrupted_at

    async def start(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109  an open end would hide a wrong address
        """Connect, declare what is missing, and begin to consume.

        Args:
            timeout: For the whole call, in seconds.

        Raises:
            BrokerUnavailable: The broker cannot be reached, or does not answer in time.
            BrokerMisconfigured: The broker refuses the connection or a declaration.
        """
        async with self._link.translating(), asyncio.timeout(timeout):
            await self._link.wire()

    async def keep_consuming(self) -> None:
        """Consume again whenever consuming has stopped. Runs until it is cancelled."""
        while True:
            await self._broken.wait()
            self._interruption.begin()
            await self._interruption.rest()
            await self._may_begin()
            try:
                await self._link.reset()
                await self._link.wire()
            except BrokerError as error:
                self._interruption.tell(error)
                continue
            self._interruption.end()

    async def stop(self) -> None:
        """Cancel the consumer. Deliveries that arrived can still be settled."""
        if self._wire is not None and self._tag is not None and self.is_consuming:
            with KeptCancellation():
                try:
                    await self._wire.basic_cancel(self._tag, timeout=5.0)
                except LOST as error:
                    _log.warning("cancelling the consumer of %s failed: %s", self._queue, error)

    async def flush(self) -> None:
        """Wait until every acknowledgement has been handed to the connection."""
        if self._acks is not None:
            await self._acks.flush()

    async def close(self) -> None:
        """Close the connection. The broker requeues every unsettled delivery.

        On cancellation the connection is aborted.
        """
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self.flush()
            await self._link.close()
        finally:
            self._link.cut()

    async def _consume(self, channel: AbstractChannel) -> None:
        await declare_missing(self._link, self._topology)
        await compare(self._link, self._topology)
        await channel.set_qos(prefetch_count=self._prefetch)
        wire = await self._link.wire_of(channel)
        broken = asyncio.Event()
        self._broken, self._wire = broken, wire
        self._acks = acks = Acknowledgements(wire)

        def on_message(message: Received) -> None:
            self._deliver(Delivery(acks, message, self._counters))

        def on_end(_: object) -> None:
            if not broken.is_set():
                broken.set()
                # Repeated failures are one interruption, which began with the first.
                self._interrupted_at = self._interrupted_at or time.monotonic()

        wire.closing.add_done_callback(on_end)
        wire.on_consumer_cancel_callbacks.add(on_end)
        self._link.take_deliveries(wire, on_message)
        confirmed = await wire.basic_consume(self._queue, passed_by)
        self._tag = confirmed.consumer_tag
        if not broken.is_set():
            self._interrupted_at = None
