"""Storing: takes the messages of a schedule queue, stores each until its time, and acknowledges it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

from eventstore import InvalidRequest
from worker.amqp.consumer import Consumer
from worker.amqp.delivery import Delivery
from worker.amqp.sender import Sender
from worker.counters import Counters, End
from worker.message import BadMessage
from worker.rounds.forwarding import ERROR_HEADER, explain
from worker.rounds.handover import Handover, Sent
from worker.rounds.replies import Replies
from worker.schedule.request import Cancellation, read_request
from worker.schedule.scheduled import Lease, Scheduled, ScheduledCommands
from worker.schedule.tally import Tally
from worker.schedule.together import together
from worker.telemetry.logs import concerning
from worker.topology import Topology

__all__ = ["Storing"]

_log = logging.getLogger(__name__)

_PREFETCH = 256
# The broker detects a frozen process by it: the queue has one active consumer, and the next one waits until then.
_HEARTBEAT_SECONDS = 4
_MOST = 128
_MOST_BYTES = 8 * 1024 * 1024


class Storing:
    """Stores the scheduled commands of one domain, as long as a lease is valid.

    Args:
        url: The broker's address.
        topology: The domain's queues.
        commands: The scheduled commands.
        sender: The connection that publishes dead letters.
        replies: Sends a reply to publishers whose request is dead-lettered.
        tally: The counts of this process.
        most_bytes: The largest body that workers accept, in bytes.
        wake: Called when something was stored.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        commands: ScheduledCommands,
        *,
        sender: Sender,
        replies: Replies,
        tally: Tally,
        most_bytes: int,
        wake: Callable[[], object],
    ) -> None:
        self._topology = topology
        self._commands = commands
        self._sender = sender
        self._replies = replies
        self._handover = Handover(sender, topology)
        self._tally = tally
        self._most_bytes = most_bytes
        self._wake = wake
        self._came: asyncio.Queue[Delivery] = asyncio.Queue()
        self._next: tuple[Delivery, Scheduled | Cancellation] | None = None
        self._asides: set[asyncio.Task[None]] = set()
        self._consumer = Consumer(
            url,
            topology,
            prefetch=_PREFETCH,
            counters=Counters(),
            deliver=self._came.put_nowait,
            may_begin=_at_once,
            queue=topology.schedule_queue,
            heartbeat=_HEARTBEAT_SECONDS,
        )

    @property
    def trouble(self) -> str | None:
        """Why messages do not arrive, or cannot be dead-lettered; None if neither is the case."""
        if (seconds := self._consumer.interrupted_for) > 0:
            return f"{self._consumer.queue} has not been consumed for {seconds:.0f} s"
        return self._handover.trouble

    async def run(self, lease: Lease) -> None:
        """Store until cancelled. Messages that are not acknowledged then are delivered again, here or elsewhere.

        Raises:
            LeaseLost: Another process has the lease.
            EventStoreError: Nothing can be stored now.
            BrokerUnavailable, BrokerMisconfigured: Consuming cannot begin.
        """
        try:
            await self._consumer.start()
            await together(self._consumer.keep_consuming(), self._keep_storing(lease))
        finally:
            for task in self._asides:
                task.cancel()
            await asyncio.gather(*self._asides, return_exceptions=True)
            await self._consumer.close()

    async def _keep_storing(self, lease: Lease) -> None:
        while True:
            await self._store(lease, await self._batch())

    async def _batch(self) -> list[tuple[Delivery, Scheduled | Cancellation]]:
        """Wait for a message, and take those that wait besides, up to the size of one statement, no id twice."""
        batch: list[tuple[Delivery, Scheduled | Cancellation]] = []
        ids: set[UUID] = set()
        size = 0
        while True:
            if self._next is None:
                if batch and self._came.empty():
                    return batch
                delivery = await self._came.get()
                if delivery.is_lost:
                    # It is delivered again: stored twice, it could come after a later message with its id.
                    delivery.abandon()
                    continue
                if (read := self._read(delivery)) is None:
                    continue
                self._next = delivery, read
            delivery, read = self._next
            if batch and (len(batch) == _MOST or size > _MOST_BYTES or read.command_id in ids):
                return batch
            self._next = None
            batch.append((delivery, read))
            ids.add(read.command_id)
            size += len(delivery.body)

    def _read(self, delivery: Delivery) -> Scheduled | Cancellation | None:
        try:
            return read_request(delivery.properties, delivery.body, self._sender.fits, most_bytes=self._most_bytes)
        except BadMessage as bad:
            self._spawn(self._put_aside(delivery, bad))
            return None

    async def _store(self, lease: Lease, batch: list[tuple[Delivery, Scheduled | Cancellation]]) -> None:
        """Store a batch, and acknowledge it. A value that the database refuses affects no other message."""
        commands = [read for _, read in batch if isinstance(read, Scheduled)]
        cancelled = [read.command_id for _, read in batch if isinstance(read, Cancellation)]
        try:
            verdicts = await self._commands.put(lease, self._topology.domain_name, commands, cancelled)
        except InvalidRequest as error:
            if len(batch) == 1:
                self._spawn(self._put_aside(batch[0][0], BadMessage("not_storable", str(error))))
                return
            for each in batch:
                await self._store(lease, [each])
            return
        for delivery, read in batch:
            if isinstance(read, Cancellation):
                self._tally.cancelled += 1
                delivery.acknowledge(End.UNCHANGED)
            elif verdicts[read.command_id] == "too_far":
                bad = BadMessage("deliver_at_too_far", f"{read.due_at:%Y-%m-%d} is more than ten years ahead")
                self._spawn(self._put_aside(delivery, bad))
            else:
                self._tally.stored += verdicts[read.command_id] == "stored"
                delivery.acknowledge(End.ACCEPTED)
        self._wake()

    async def _put_aside(self, delivery: Delivery, bad: BadMessage) -> None:
        """Dead-letter a message that can never be stored; the log names its command."""
        properties = delivery.properties
        with concerning(
            command_id=properties.message_id,
            command_type=properties.message_type,
            domain=self._topology.domain_name,
        ):
            await self._dead_lettered(delivery, bad)

    async def _dead_lettered(self, delivery: Delivery, bad: BadMessage) -> None:
        headers = explain(bad, reason=bad.code, queue=self._topology.schedule_queue, with_traceback=False)
        sent = await self._handover.complete(delivery, self._topology.dead_queue, headers)
        if sent is Sent.LOST:
            return
        _log.error("dead letter: %s: %s", bad.code, bad)
        await self._replies.failed(delivery.properties, None, f"{bad.code}: {headers[ERROR_HEADER]}")
        if sent is Sent.REFUSED:
            # Unchanged, without our headers: the broker accepts no copy of it.
            await delivery.reject(End.DEAD_LETTERED)
        else:
            delivery.acknowledge(End.DEAD_LETTERED)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._asides.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            # It is not acknowledged, so nothing is lost: the broker delivers it again.
            _log.error("dead-lettering a message failed", exc_info=failure)


async def _at_once() -> None:
    pass
