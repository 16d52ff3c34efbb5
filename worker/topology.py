"""The topology: which exchange and queues a domain has.

::

    exchange commands ──library──> library.commands ──(limit, reject)──> library.commands.dead
                                        ^     │
                                        │     └──(the worker sends on)──> library.commands.retry
                                        └───────────(rested)────────────────────┘

Every hop inside the broker is at-least-once. The arguments are those that RabbitMQ 3.10 and 4.x both honour.
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["EXCHANGE", "MAX_RETRY_DELAY", "Topology"]

EXCHANGE = "commands"
MAX_RETRY_DELAY = 60.0
"""Seconds. The retry queue lets nothing rest longer; each message carries its own, shorter time."""

# Only a guard against messages that kill the process. A drain returns deliveries, which counts on RabbitMQ before 4.3.
_DELIVERY_LIMIT = 50
# RabbitMQ 4 sets a limit of 20 by default and, without a dead-letter exchange, drops what exceeds it: looking
# at dead letters twenty times must not lose them. -1 loses messages on 3.10, so the limit is a large number: who looks
# once a second reaches it in thirty years.
_UNLIMITED = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Topology:
    """The names that belong to one domain.

    Attributes:
        domain_name: The domain, which is also the routing key on the exchange ``commands``.
    """

    domain_name: str

    @property
    def exchange(self) -> str:
        """Where commands of all domains are published."""
        return EXCHANGE

    @property
    def routing_key(self) -> str:
        """What routes a command to this domain."""
        return self.domain_name

    @property
    def queue(self) -> str:
        """Where commands wait for a worker."""
        return f"{self.domain_name}.commands"

    @property
    def retry_queue(self) -> str:
        """Where commands rest before they return to ``queue``."""
        return f"{self.queue}.retry"

    @property
    def dead_queue(self) -> str:
        """Where commands are kept, with their reason, for a person."""
        return f"{self.queue}.dead"

    def queues(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Each queue with its arguments, targets before sources."""
        quorum: dict[str, Any] = {"x-queue-type": "quorum"}
        return (
            (self.dead_queue, {**quorum, "x-delivery-limit": _UNLIMITED}),
            (self.queue, {**quorum, "x-delivery-limit": _DELIVERY_LIMIT, **_hop_to(self.dead_queue)}),
            (
                self.retry_queue,
                {
                    **quorum,
                    "x-delivery-limit": _UNLIMITED,
                    "x-message-ttl": int(MAX_RETRY_DELAY * 1000),
                    **_hop_to(self.queue),
                },
            ),
        )


def _hop_to(queue: str) -> dict[str, Any]:
    """What makes the broker move messages to a queue without losing any on the way."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
