"""The upkeep: declares again what is deleted while a worker runs. The broker does not notify consumers of that."""

import logging

from eventstore.backoff import Backoff
from worker.amqp.sender import Sender
from worker.errors import BrokerError, BrokerUnavailable
from worker.topology import Topology

__all__ = ["keep_declared"]

_log = logging.getLogger(__name__)

_LONGEST_REST = 30.0


async def keep_declared(sender: Sender, topology: Topology) -> None:
    """Check the exchanges, queues and bindings of a domain every 15 to 30 seconds. Runs until it is cancelled.

    A deleted exchange or binding closes no connection and cancels no consumer: the worker would wait for commands that
    no longer reach it, and look idle.

    Args:
        sender: The connection to check on and to declare on.
        topology: The domain's exchanges and queues.
    """
    # Processes start together; with a jitter they do not all check at once.
    backoff = Backoff(first=_LONGEST_REST, longest=_LONGEST_REST, jitter=0.5)
    told: str | None = None  # each reason is logged once
    while True:
        await backoff.rest()
        try:
            # Without a limit: a check that is given up loses the connection, and a broker that is short of memory would
            # later store what was sent on it before, and what is sent again.
            made = await sender.declare(topology, timeout=None)
        except BrokerUnavailable:
            # A consumer logs that, and declares when it has connected again.
            continue
        except BrokerError as error:
            if told != (told := str(error)):
                _log.error("%s", error)
        else:
            told = None
            if made:
                _log.warning("declared again, as it had been deleted: %s", ", ".join(made))
