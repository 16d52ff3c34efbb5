"""The topology: the exchanges and queues of a domain.

::

    exchange commands ──library──> library.commands ──(limit, reject)──> library.commands.dead
                                        ^     │
                                        │     └──(the worker sends on)──> library.commands.retry
                                        └───────────(rested)────────────────────┘

With affinity, the work queue is split into shards, and a command's key chooses the shard, also after it has rested::

    exchange commands ──library──> exchange commands.library ──(hash of affinity-key)──> library.commands.0 … 7
                                        ^                                                      │
                                        └──(rested)── library.commands.retry <──(sent on)──────┘

Commands that are to be sent later wait in the database; they arrive by a queue that one process consumes::

    exchange commands ──library.schedule──> library.schedule ──(limit, reject)──> library.commands.dead

Every hop inside the broker is at-least-once. The arguments work in both RabbitMQ 3.10 and 4.x.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # publishers need no domain
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
"""The header that determines a command's shard: the text that ``Domain.affinity_key`` returns."""
HASHING = "x-consistent-hash"
"""The type of the exchange in front of the shards."""
REPORT_EXCHANGE = "worker.reports"
"""The exchange for the reports of workers of all domains, for ``worker console``. It and its messages are transient."""
MAX_RETRY_DELAY = 60.0
"""The longest rest in the retry queue, in seconds. Each message has its own, shorter time to live."""

# The last guard against messages that end every process that gets them. Returns by connections that break, and by
# drains on RabbitMQ before 4.3, count as well: a command must not be dead-lettered for these.
_DELIVERY_LIMIT = 1000
_OLDER_DELIVERY_LIMIT = 50
# RabbitMQ 4 has a default limit of 20 and, without a dead-letter exchange, drops messages beyond it: browsing dead
# letters twenty times must not lose them. -1 loses messages on 3.10, so the limit is a large number: browsing once a
# second reaches it in thirty years.
_UNLIMITED = 1_000_000_000
_DEAD = ".dead"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message is published to.

    Attributes:
        exchange: Name of the exchange; the empty string for the default exchange.
        routing_key: The routing key; on the default exchange, the queue's name.
    """

    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """The names of one domain's exchanges and queues.

    Attributes:
        domain_name: Name of the domain, which is also its routing key on the exchange ``commands``.
        shards: Number of queues over which its commands are spread by affinity key; None for one queue.
        has_schedule: Whether it includes the schedule queue. Workers do not need that queue.
    """

    domain_name: str
    shards: int | None = None
    has_schedule: bool = False

    @classmethod
    def of(cls, domain: "Domain", *, has_schedule: bool = False) -> "Topology":
        """Return the topology of a domain."""
        return cls(domain.name, domain.shards, has_schedule)

    @property
    def exchange(self) -> str:
        """Name of the exchange to which commands of all domains are published."""
        return EXCHANGE

    @property
    def routing_key(self) -> str:
        """Routing key of the domain's commands on that exchange."""
        return self.domain_name

    @property
    def queue(self) -> str:
        """Name of the work queue; with shards, the beginning of the names of their queues."""
        return f"{self.domain_name}.commands"

    @property
    def work_queues(self) -> tuple[str, ...]:
        """Names of the queues that workers consume; with shards, by their number."""
        return (self.queue,) if self.shards is None else tuple(self.shard_queue(n) for n in range(self.shards))

    def shard_queue(self, shard: int) -> str:
        """Return the name of a shard's queue."""
        return f"{self.queue}.{shard}"

    @property
    def shard_exchange(self) -> str:
        """Name of the exchange that spreads commands over the shards."""
        return f"{EXCHANGE}.{self.domain_name}"

    @property
    def peer_exchange(self) -> str:
        """Name of the exchange on which processes that consume shards announce themselves."""
        return f"{self.shard_exchange}.workers"

    @property
    def entrance(self) -> Address:
        """Where a command is published to return to its work queue or shard."""
        # Not the exchange ``commands``: other queues that are bound there have had the command already.
        return Address("", self.queue) if self.shards is None else Address(self.shard_exchange, self.domain_name)

    @property
    def retry_queue(self) -> str:
        """Name of the queue in which commands rest before they return to their work queue."""
        return f"{self.queue}.retry"

    @property
    def dead_queue(self) -> str:
        """Name of the queue in which dead letters are kept with their reason, for people."""
        return f"{self.queue}{_DEAD}"

    @property
    def schedule_queue(self) -> str:
        """Name of the queue of commands to send later, and their routing key on the exchange ``commands``."""
        return f"{self.domain_name}.schedule"

    @property
    def spare_queue(self) -> str:
        """Beginning of the name of a queue that is declared after the others, and deleted."""
        return f"{self.queue}.spare"

    @property
    def way_out(self) -> str:
        """Advice for people: how to introduce shards, change their number, or remove them."""
        return (
            "that is changed only while no command waits: stop what publishes, let workers that fit the queues empty "
            f"them, delete the queues {self.queue}*, except {self.dead_queue}, and the exchange {self.shard_exchange}, "
            "and start again"
        )

    def queues(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Each queue with its arguments.

        Targets come before their sources. But with shards the retry queue comes first: it refuses another number of
        shards.
        """
        quorum: dict[str, Any] = {"x-queue-type": "quorum"}
        work = {**quorum, "x-delivery-limit": _DELIVERY_LIMIT, **_hop_to(Address("", self.dead_queue))}
        rest = {**quorum, "x-delivery-limit": _UNLIMITED, "x-message-ttl": int(MAX_RETRY_DELAY * 1000)}
        back = self.entrance
        if self.shards is not None:
            work["x-single-active-consumer"] = True
            # The exchange of the shards ignores the routing key. So the key can hold the number of shards, which the
            # broker compares with every later declaration: with another number, commands of one key would be in two
            # shards.
            back = Address(back.exchange, f"{back.routing_key}/{self.shards}")
        # If a policy limits its length, it refuses letters, which then wait in their source queue. It drops none.
        dead = (self.dead_queue, {**quorum, "x-delivery-limit": _UNLIMITED, "x-overflow": "reject-publish"})
        retry = (self.retry_queue, {**rest, **_hop_to(back)})
        works = tuple((name, dict(work)) for name in self.work_queues)
        # One consumer at a time: of two messages with the same id, the later one is stored last.
        schedule = (self.schedule_queue, {**work, "x-single-active-consumer": True})
        queues = (dead, *works, retry) if self.shards is None else (dead, retry, *works)
        return (*queues, schedule) if self.has_schedule else queues


def events_exchange(domain_name: str) -> str:
    """Return the name of the topic exchange to which a domain's relays publish its events."""
    return f"{domain_name}.events"


def older(queue: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with which earlier versions declared a queue. Such a queue is used as it is."""
    if arguments.get("x-delivery-limit") == _DELIVERY_LIMIT:
        return {**arguments, "x-delivery-limit": _OLDER_DELIVERY_LIMIT}
    if queue.endswith(_DEAD):
        return {name: value for name, value in arguments.items() if name != "x-overflow"}
    return arguments


def _hop_to(target: Address) -> dict[str, Any]:
    """Return arguments that make the broker move messages to an address without losing any."""
    return {
        "x-dead-letter-exchange": target.exchange,
        "x-dead-letter-routing-key": target.routing_key,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
