"""The report receiver: receives the reports of all workers of a virtual host."""

import asyncio
import logging
from collections.abc import Callable
from uuid import uuid4

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage

from eventstore.backoff import Backoff
from worker.amqp.body_reader import BodyReader
from worker.amqp.connection import Link
from worker.amqp.declaration import declare_report_exchange
from worker.errors import BrokerError
from worker.topology import REPORT_EXCHANGE

__all__ = ["ReportReceiver"]

_log = logging.getLogger(__name__)

# Enough for a few hundred workers; the oldest are dropped first. A slow receiver must not fill the broker's memory.
_MOST_WAITING = 2000
_FIRST_REST, _LONGEST_REST = 0.5, 5.0


class ReportReceiver:
    """Receives reports in a queue of its own, exclusive and deleted with the connection.

    Args:
        url: The broker's address.
        take: Called with each message's body, which may be anything. It must not block.

    Attributes:
        trouble: Why no reports can be received now, for people; None if they can.
    """

    def __init__(self, url: str, take: Callable[[bytes], None]) -> None:
        self.trouble: str | None = "not connected yet"
        self._take = take
        # Any program may publish to the exchange, and only the body of a report is used.
        self._link = Link(url, name="worker console", prepare=self._consume, reader=BodyReader, on_trouble=self._tell)

    async def keep_receiving(self) -> None:
        """Receive reports, and begin again whenever that has stopped. Runs until it is cancelled."""
        backoff = Backoff(first=_FIRST_REST, longest=_LONGEST_REST)
        while True:
            try:
                async with self._link.translating():
                    wire = await self._link.wire()
            except BrokerError as error:
                self._tell(error)
                await backoff.rest()
                continue
            self.trouble = None
            backoff.reset()
            await asyncio.wait([wire.closing])
            self.trouble = "the connection to RabbitMQ was lost"

    async def close(self) -> None:
        """Close the connection."""
        await self._link.close()

    async def _consume(self, channel: AbstractChannel) -> None:
        await declare_report_exchange(self._link)
        name = f"worker.console.{uuid4()}"
        await channel.declare_queue(
            name, exclusive=True, auto_delete=True, arguments={"x-max-length": _MOST_WAITING, "x-overflow": "drop-head"}
        )
        queue = await channel.get_queue(name, ensure=False)
        await queue.bind(REPORT_EXCHANGE)
        wire = await self._link.wire_of(channel)
        await wire.basic_consume(name, self._on_report, no_ack=True)

    async def _on_report(self, message: DeliveredMessage) -> None:
        self._take(message.body)

    def _tell(self, error: BrokerError) -> None:
        if self.trouble != (told := str(error)):
            self.trouble = told
            _log.warning("cannot receive the reports of workers: %s", error)
