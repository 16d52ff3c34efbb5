"""The rules of queues: which policies can lose messages, and what to do about it."""

from collections.abc import Iterator, Mapping

from eventstore.counted import counted
from worker.amqp.policies import QueueRules
from worker.topology import Topology

__all__ = ["WAY", "losses", "older_dead_queue"]

WAY = "docs/broker.md, Policies, says which policy may match which queue"
_LENGTHS = ("max-length", "max-length-bytes")


def losses(topology: Topology, rules: Mapping[str, QueueRules]) -> Iterator[str]:
    """Yield sentences about policies by which messages are lost, or dead-lettered without need.

    Args:
        topology: The domain's queues.
        rules: The arguments and policies of each queue.
    """
    for queue, found in rules.items():
        if (expires := found.get("expires")) is not None:
            value, policy = expires
            yield f"the policy {policy} deletes {queue}, with all that is in it, when it is not used for {value:,} ms"
        if queue == topology.dead_queue:
            yield from _of_dead(queue, found)
        elif queue != topology.retry_queue:
            yield from _of_work(queue, found)


def older_dead_queue(topology: Topology, rules: Mapping[str, QueueRules]) -> bool:
    """Whether the dead-letter queue was declared by an older version, and no policy makes up for that."""
    found = rules.get(topology.dead_queue)
    return found is not None and bool(found.arguments) and not _refuses(found)


def _of_dead(queue: str, found: QueueRules) -> Iterator[str]:
    if (lives := found.get("message-ttl")) is not None:
        value, policy = lives
        yield f"the policy {policy} deletes messages that have been in {queue} for {value:,} ms"
    for length in _LENGTHS:
        if (bound := found.get(length)) is not None and not _refuses(found):
            value, policy = bound
            yield f"the policy {policy} drops the oldest letters of {queue} above {length} {value:,}"
    yield from _deliveries(queue, found, "drops a letter that was read {times}")


def _of_work(queue: str, found: QueueRules) -> Iterator[str]:
    if (lives := found.get("message-ttl")) is not None:
        value, policy = lives
        yield f"the policy {policy} makes a dead letter of each command that has waited in {queue} for {value:,} ms"
    yield from _deliveries(queue, found, "makes a dead letter of a command that was delivered {times}")


def _deliveries(queue: str, found: QueueRules, effect: str) -> Iterator[str]:
    limit = found.get("delivery-limit")
    if limit is None:
        return
    value, policy = limit
    declared = found.arguments.get("x-delivery-limit")
    if isinstance(value, int) and isinstance(declared, int) and 0 <= value < declared:
        yield f"the policy {policy} {effect.format(times=counted(value, 'time'))} ({queue})"


def _refuses(found: QueueRules) -> bool:
    """Whether a full queue refuses messages, instead of dropping those it has."""
    declared = found.arguments.get("x-overflow")
    if declared is not None:
        return bool(declared == "reject-publish")
    return any(definition.get("overflow") == "reject-publish" for definition in found.policies.values())
