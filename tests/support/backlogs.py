"""What waits in a domain's queues, for those who ask until it is as they expect."""

from contextlib import suppress

from worker.amqp.backlog import Backlog, backlog
from worker.errors import BrokerUnavailable
from worker.topology import Topology

__all__ = ["backlog_if_told"]


async def backlog_if_told(amqp_url: str, topology: Topology) -> Backlog | None:
    """Return what a broker counts; None if there are no queues, or it did not say so in time: ask again."""
    with suppress(BrokerUnavailable):
        return await backlog(amqp_url, topology)
    return None
