"""The shares: which process consumes which shards; each process computes the same result by itself."""

from collections.abc import Collection
from hashlib import blake2b

__all__ = ["largest_share", "prefetch_of", "share_of"]

# How many times the prefetch of one queue a process may hold in all. Its shards are seldom equally full, and a single
# full shard should fill its rounds: no other process could take what waits there.
_OVERBOOKED = 4


def largest_share(processes: int, shards: int) -> int:
    """Return the largest number of shards that a process has."""
    return -(-shards // processes)


def prefetch_of(each: int, prefetch: int) -> int:
    """Return the prefetch of each shard of a process.

    Args:
        each: The largest number of shards that a process has.
        prefetch: The prefetch of a single queue.
    """
    return min(prefetch, max(1, _OVERBOOKED * prefetch // each))


def share_of(process: str, processes: Collection[str], shards: int) -> tuple[int, ...]:
    """Return the shards of a process, the nearest one first.

    Shares differ by at most one shard. They depend on the names alone, so that processes that know each other agree
    without messages. When a process comes or goes, most shards stay where they are.

    Args:
        process: Name of the process; one of ``processes``.
        processes: The names of all processes.
        shards: The number of shards.
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
