"""Queue rates: messages a second in a domain's work queues, from the broker's management interface."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from worker.amqp.management import ask, vhost_of
from worker.topology import Topology

__all__ = ["QueueRates", "queue_rates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRates:
    """The rates of a domain's work queues, in messages a second.

    Attributes:
        published: Messages that enter the queues, including retries.
        delivered: Messages that are delivered to workers.
        acknowledged: Messages that are acknowledged, with whatever result.
    """

    published: float
    delivered: float
    acknowledged: float


def queue_rates(management_url: str, amqp_url: str, topology: Topology) -> QueueRates:
    """Read the rates of a domain's work queues. It blocks.

    Args:
        management_url: Address of the management interface, with user name and password.
        amqp_url: The broker's address, which names the virtual host.
        topology: The domain's queues.

    Raises:
        BrokerUnavailable: The interface cannot be reached.
        BrokerMisconfigured: The interface refuses the login, or the right to see queues.
    """
    vhost = vhost_of(amqp_url)
    found = [ask(management_url, f"queues/{vhost}/{quote(name, safe='')}") for name in topology.work_queues]
    stats = [queue.get("message_stats") or {} for queue in found if isinstance(queue, dict)]
    return QueueRates(
        published=sum(_rate(each, "publish") for each in stats),
        delivered=sum(_rate(each, "deliver_get") for each in stats),
        acknowledged=sum(_rate(each, "ack") for each in stats),
    )


def _rate(stats: dict[str, Any], what: str) -> float:
    # A queue where it has never happened has no such entry.
    details = stats.get(f"{what}_details")
    return float(details.get("rate", 0.0)) if isinstance(details, dict) else 0.0
