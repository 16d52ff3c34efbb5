"""The shares: which process consumes which shards, worked out by each of them alone, and alike by all."""

from collections.abc import Collection
from hashlib import blake2b

__all__ = ["largest_share", "prefetch_of", "share_of"]

# How much more a process may hold than it would of one queue. Its shards are seldom alike, and one that is full alone
# should fill its rounds; nobody else could take what waits there.
_OVERBOOKED = 4


def largest_share(processes: int, shards: int) -> int:
    """Return how many shards a process has, at most."""
    return -(-shards // processes)


def prefetch_of(each: int, prefetch: int) -> int:
    """Return how many unsettled deliveries a process may have of each of its shards.

    Args:
        each: How many shards it has, at most.
        prefetch: How many it may have of one queue.
    """
    return min(prefetch, max(1, _OVERBOOKED * prefetch // each))


def share_of(process: str, processes: Collection[str], shards: int) -> tuple[int, ...]:
    """Return the shards of a process, the one that it is nearest to first.

    Shares differ by one shard at most. They depend on the names alone, so that processes that know of each other agree
    without a word. When one comes or goes, most shards stay where they are.

    Args:
        process: Whose; one of the processes.
        processes: The names of all.
        shards: How many shards there are.
    """
    least, spare = divmod(shards, len(processes))
    shares: dict[str, list[int]] = {each: [] for each in processes}
    left = set(range(shards))
    for _, each, shard in sorted((_distance(each, shard), each, shard) for each in processes for shard in left):
        share = shares[each]
        if shard not in left or len(share) > least or (len(share) == least and not spare):
            continue
        spare -= len(share) == least
        share.append(shard)
        left.remove(shard)
    return tuple(shares[process])


def _distance(process: str, shard: int) -> bytes:
    return blake2b(f"{process}/{shard}".encode(), digest_size=8).digest()
