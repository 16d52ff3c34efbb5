"""Queues: the number of messages for each domain's workers, as counted by the broker, and their rates."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from worker.amqp.backlog import Backlog, BacklogReader
from worker.amqp.queue_rates import QueueRates, queue_rates
from worker.console.attempt import Found, attempt
from worker.settings import Settings
from worker.topology import Topology

__all__ = ["QueueRow", "Queues"]

# How long a page waits for a broker that does not answer.
_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """The queues of a domain.

    Attributes:
        topology: The names of the queues.
        backlog: The counts of the queues; the value is None if there are no queues.
        rates: The rates of the work queues; None if no management interface is set.
    """

    topology: Topology
    backlog: Found[Backlog | None]
    rates: Found[QueueRates] | None


class Queues:
    """Reads the queues of domains, without changing anything.

    Args:
        settings: The worker's settings: the broker, and its management interface if that is set.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader = BacklogReader(settings.amqp_url, name="worker console queues")

    async def look(self, topologies: Sequence[Topology]) -> list[QueueRow]:
        """Return the queues of each domain."""
        return list(await asyncio.gather(*(self._row(topology) for topology in topologies)))

    async def close(self) -> None:
        """Close the connection."""
        await self._reader.close()

    async def _row(self, topology: Topology) -> QueueRow:
        backlog, rates = await asyncio.gather(
            attempt(self._reader.read(topology, timeout=_SECONDS)), self._rates(topology)
        )
        return QueueRow(topology=topology, backlog=backlog, rates=rates)

    async def _rates(self, topology: Topology) -> Found[QueueRates] | None:
        management = self._settings.rabbitmq_management_url
        if not management:
            return None
        return await attempt(asyncio.to_thread(queue_rates, management, self._settings.amqp_url, topology))
