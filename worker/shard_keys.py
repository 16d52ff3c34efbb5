"""The shard's keys: whether all commands of a key arrive by the same shard."""

import logging

from worker.counters import Counters
from worker.topology import Topology

__all__ = ["ShardKeys"]

_log = logging.getLogger(__name__)

# The number of keys whose last shard is remembered.
_MOST_KEYS = 10_000


class ShardKeys:
    """Notes the shard by which each key arrived, and notices a key that arrives by another one.

    Two shards may be consumed by two processes. Commands of such a key are then not ordered, and may conflict. A
    process sees only the shards that it consumes.

    Args:
        topology: The queues of the domain.
        counters: Counts the commands that arrived by another shard than earlier ones of their key.
        most: The most keys to remember.
    """

    def __init__(self, topology: Topology, counters: Counters, *, most: int = _MOST_KEYS) -> None:
        self._topology = topology
        self._counters = counters
        self._most = most
        self._shards: dict[str, int] = {}
        self._has_told = False

    def check(self, key: str, shard: int) -> None:
        """Check whether a key arrives by the same shard as before. Each other is counted; the first is logged.

        Args:
            key: The affinity key.
            shard: Number of the shard.
        """
        before = self._shards.setdefault(key, shard)
        if before == shard:
            if len(self._shards) > self._most:
                del self._shards[next(iter(self._shards))]
            return
        self._shards[key] = shard
        self._counters.misplaced += 1
        if not self._has_told:
            self._has_told = True
            _log.warning(
                "commands of one affinity key come by %s and by %s: only the shards may be bound to %s, each once, and "
                "no command may be published to a shard itself; see docs/messages.md",
                self._topology.shard_queue(before),
                self._topology.shard_queue(shard),
                self._topology.shard_exchange,
            )
