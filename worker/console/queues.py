"""Queues: what waits for each domain's workers, as the broker counts, and how fast it comes and goes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from worker.amqp.backlog import Backlog, BacklogReader
from worker.amqp.queue_rates import QueueRates, queue_rates
from worker.console.attempt import Found, attempt
from worker.settings import Settings
from worker.topology import Topology

__all__ = ["QueueRow", "Queues"]

# A broker that is away keeps a page waiting for so long.
_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """The queues of a domain.

    Attributes:
        topology: What they are called.
        backlog: What is in them; no value where there are none.
        rates: How fast commands come and go; None where the management interface is not asked.
    """

    topology: Topology
    backlog: Found[Backlog | None]
    rates: Found[QueueRates] | None


class Queues:
    """Looks at the queues of domains, without changing anything.

    Args:
        settings: The broker, and its management interface if that may be asked.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader = BacklogReader(settings.amqp_url, name="worker console queues")

    async def look(self, topologies: Sequence[Topology]) -> list[QueueRow]:
        """Return what there is of each domain."""
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
