"""The report publisher: publishes a worker's reports to all that listen."""

import asyncio
from contextlib import suppress

from aio_pika.abc import AbstractChannel
from aiormq import spec

from worker.amqp.connection import Link
from worker.amqp.declaration import declare_report_exchange
from worker.reporting.report import REPORT_TYPE
from worker.topology import REPORT_EXCHANGE

__all__ = ["ReportPublisher"]

_TRANSIENT = 1


class ReportPublisher:
    """Publishes over a connection of its own: a broker that is short of memory stops reading from publishers.

    If there is no receiver, the broker drops the reports.

    Args:
        url: The broker's address.
    """

    def __init__(self, url: str) -> None:
        self._link = Link(url, name="worker reports", prepare=self._prepare)

    async def publish(self, body: bytes) -> None:
        """Publish a report; connect first if there is no connection, for as long as that takes.

        Raises:
            BrokerUnavailable: The connection broke.
            BrokerMisconfigured: The broker refuses the connection, the right to publish, or the declaration of the
                exchange.
        """
        properties = spec.Basic.Properties(
            content_type="application/json", delivery_mode=_TRANSIENT, message_type=REPORT_TYPE
        )
        async with self._link.translating():
            wire = await self._link.wire()
            await wire.basic_publish(body, exchange=REPORT_EXCHANGE, routing_key="", properties=properties, wait=False)

    async def close(self, seconds: float) -> None:
        """Close the connection within this many seconds; abort it after that. Safe to repeat."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._link.close()
        finally:
            self._link.cut()

    async def _prepare(self, _: AbstractChannel) -> None:
        await declare_report_exchange(self._link)
