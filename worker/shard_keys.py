"""The shard's keys: whether the commands of a key come by one shard."""

import logging

from worker.counters import Counters
from worker.topology import Topology

__all__ = ["ShardKeys"]

_log = logging.getLogger(__name__)

# Of how many keys it is known by which shard they came last.
_MOST_KEYS = 10_000


class ShardKeys:
    """Notes by which shard each key came, and notices one that comes by another.

    Two shards may be consumed by two processes, so that the commands of such a key have no order, and meet as
    strangers. A process sees only the shards that it consumes.

    Args:
        topology: Whose shards.
        counters: Where commands are counted that came by another shard than others of their key.
        most: How many keys to remember.
    """

    def __init__(self, topology: Topology, counters: Counters, *, most: int = _MOST_KEYS) -> None:
        self._topology = topology
        self._counters = counters
        self._most = most
        self._shards: dict[str, int] = {}
        self._has_told = False

    def check(self, key: str, shard: int) -> None:
        """See whether a key comes by the shard by which it came before. Each that does not is counted, the first told.

        Args:
            key: The key.
            shard: The shard.
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
