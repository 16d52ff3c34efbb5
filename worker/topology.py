"""The topology: which exchanges and queues a domain has.

::

    exchange commands ──library──> library.commands ──(limit, reject)──> library.commands.dead
                                        ^     │
                                        │     └──(the worker sends on)──> library.commands.retry
                                        └───────────(rested)────────────────────┘

With affinity, the work queue is split into shards, and a command's key chooses the shard, also after it has rested::

    exchange commands ──library──> exchange commands.library ──(hash of affinity-key)──> library.commands.0 … 7
                                        ^                                                      │
                                        └──(rested)── library.commands.retry <──(sent on)──────┘

What is to be sent later waits in the database; it comes by a queue that one process consumes::

    exchange commands ──library.schedule──> library.schedule ──(limit, reject)──> library.commands.dead

Every hop inside the broker is at-least-once. The arguments are those that RabbitMQ 3.10 and 4.x both honour.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # who publishes needs no domain
    from handlers.domain import Domain

__all__ = [
    "AFFINITY_HEADER",
    "EXCHANGE",
    "HASHING",
    "MAX_RETRY_DELAY",
    "REPORT_EXCHANGE",
    "Address",
    "Topology",
    "events_exchange",
    "older",
]

EXCHANGE = "commands"
AFFINITY_HEADER = "affinity-key"
"""The header that chooses a command's shard. Its text is what ``Domain.affinity_key`` returns."""
HASHING = "x-consistent-hash"
"""The type of the exchange in front of the shards."""
REPORT_EXCHANGE = "worker.reports"
"""Where workers of all domains report what they do, for ``worker console``. It is transient, and so is what comes."""
MAX_RETRY_DELAY = 60.0
"""Seconds. The retry queue lets nothing rest longer; each message carries its own, shorter time."""

# The last guard against messages that end every process that has them. A connection that breaks again and again counts
# as well, and so does a drain on RabbitMQ before 4.3: a command must not be put aside for that.
_DELIVERY_LIMIT = 1000
_OLDER_DELIVERY_LIMIT = 50
# RabbitMQ 4 sets a limit of 20 by default and, without a dead-letter exchange, drops what exceeds it: looking
# at dead letters twenty times must not lose them. -1 loses messages on 3.10, so the limit is a large number: who looks
# once a second reaches it in thirty years.
_UNLIMITED = 1_000_000_000
_DEAD = ".dead"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message is published to.

    Attributes:
        exchange: The exchange; the empty string is the default one.
        routing_key: What routes it there; on the default exchange, the queue.
    """

    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """The names that belong to one domain.

    Attributes:
        domain_name: The domain, which is also the routing key on the exchange ``commands``.
        shards: Over how many queues its commands are spread by their key; None for one queue.
        has_schedule: Whether the queue of what is to be sent later belongs to it. Workers do not need that queue.
    """

    domain_name: str
    shards: int | None = None
    has_schedule: bool = False

    @classmethod
    def of(cls, domain: "Domain", *, has_schedule: bool = False) -> "Topology":
        """Return a domain's."""
        return cls(domain.name, domain.shards, has_schedule)

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
        """Where commands wait for a worker; with shards, what the names of their queues begin with."""
        return f"{self.domain_name}.commands"

    @property
    def work_queues(self) -> tuple[str, ...]:
        """The queues that workers consume, by shard."""
        return (self.queue,) if self.shards is None else tuple(self.shard_queue(n) for n in range(self.shards))

    def shard_queue(self, shard: int) -> str:
        """Return the queue of a shard."""
        return f"{self.queue}.{shard}"

    @property
    def shard_exchange(self) -> str:
        """What spreads commands over the shards."""
        return f"{EXCHANGE}.{self.domain_name}"

    @property
    def peer_exchange(self) -> str:
        """Where processes that consume shards tell each other that they are there."""
        return f"{self.shard_exchange}.workers"

    @property
    def entrance(self) -> Address:
        """Where a command that was in a queue of the domain returns to its work queue, with shards to its own."""
        # Not the exchange ``commands``: whoever else is bound there has had the command already.
        return Address("", self.queue) if self.shards is None else Address(self.shard_exchange, self.domain_name)

    @property
    def retry_queue(self) -> str:
        """Where commands rest before they return to their work queue."""
        return f"{self.queue}.retry"

    @property
    def dead_queue(self) -> str:
        """Where commands are kept, with their reason, for a person."""
        return f"{self.queue}{_DEAD}"

    @property
    def schedule_queue(self) -> str:
        """Where messages come in that are to be sent later; its routing key on the exchange ``commands``, too."""
        return f"{self.domain_name}.schedule"

    @property
    def spare_queue(self) -> str:
        """How the name of a queue begins that is made after the others, and deleted."""
        return f"{self.queue}.spare"

    @property
    def way_out(self) -> str:
        """What a person does where a domain is to have shards, other ones, or none any more."""
        return (
            "that is changed only while no command waits: stop what publishes, let workers that fit the queues empty "
            f"them, delete the queues {self.queue}*, except {self.dead_queue}, and the exchange {self.shard_exchange}, "
            "and start again"
        )

    def queues(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Each queue with its arguments.

        Targets come before sources; but with shards the retry queue, which refuses another number of them, before any.
        """
        quorum: dict[str, Any] = {"x-queue-type": "quorum"}
        work = {**quorum, "x-delivery-limit": _DELIVERY_LIMIT, **_hop_to(Address("", self.dead_queue))}
        rest = {**quorum, "x-delivery-limit": _UNLIMITED, "x-message-ttl": int(MAX_RETRY_DELAY * 1000)}
        back = self.entrance
        if self.shards is not None:
            work["x-single-active-consumer"] = True
            # The exchange of the shards passes over the routing key. So it can hold their number, which the broker
            # compares with every later declaration: with other shards, commands of one key would be in two of them.
            back = Address(back.exchange, f"{back.routing_key}/{self.shards}")
        # A policy that bounds its length makes it refuse letters, which then wait at their source. It drops none.
        dead = (self.dead_queue, {**quorum, "x-delivery-limit": _UNLIMITED, "x-overflow": "reject-publish"})
        retry = (self.retry_queue, {**rest, **_hop_to(back)})
        works = tuple((name, dict(work)) for name in self.work_queues)
        # One consumer at a time: of two messages of one id, the later one is stored last.
        schedule = (self.schedule_queue, {**work, "x-single-active-consumer": True})
        queues = (dead, *works, retry) if self.shards is None else (dead, retry, *works)
        return (*queues, schedule) if self.has_schedule else queues


def events_exchange(domain_name: str) -> str:
    """Return the topic exchange that a domain's relays publish its events to."""
    return f"{domain_name}.events"


def older(queue: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with which builds before this one have made a queue. Such a queue serves as it is."""
    if arguments.get("x-delivery-limit") == _DELIVERY_LIMIT:
        return {**arguments, "x-delivery-limit": _OLDER_DELIVERY_LIMIT}
    if queue.endswith(_DEAD):
        return {name: value for name, value in arguments.items() if name != "x-overflow"}
    return arguments


def _hop_to(target: Address) -> dict[str, Any]:
    """What makes the broker move messages on without losing any on the way."""
    return {
        "x-dead-letter-exchange": target.exchange,
        "x-dead-letter-routing-key": target.routing_key,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
