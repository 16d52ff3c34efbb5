"""The backlog of a domain's queues, for tests that poll it."""

from contextlib import suppress

from worker.amqp.backlog import Backlog, backlog
from worker.errors import BrokerUnavailable
from worker.topology import Topology

__all__ = ["backlog_if_told"]


async def backlog_if_told(amqp_url: str, topology: Topology) -> Backlog | None:
    """Return the broker's counts; None if the queues do not exist or the broker did not answer in time: poll again."""
    with suppress(BrokerUnavailable):
        return await backlog(amqp_url, topology)
    return None
