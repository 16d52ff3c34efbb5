"""The audit: compares the log, receipts and dead letters after a trial with the commands that were published."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from eventstore import Filter
from eventstore.postgres import PostgresEventStore
from handlers.decider import Command
from handlers.domain import Domain
from tests.support.amqp_client import AmqpClient
from worker.load.oracle import judge
from worker.message import Reply
from worker.topology import Topology

__all__ = ["Audit"]


@dataclass(slots=True)
class Audit:
    """The outcome of every published command.

    Attributes:
        settled: When each command with a receipt was settled, in seconds since the epoch.
        dead: The ids of the unexpected dead letters, each as often as it occurs.
        lost: Commands without a receipt and without a dead letter.
        doubled: Commands with more than one, or with events outside their receipt.
        wrong: The number of violations that the oracle found.
        complaints: All of that in sentences, the first few of each kind.
    """

    settled: dict[UUID, float] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    lost: list[UUID] = field(default_factory=list)
    doubled: list[UUID] = field(default_factory=list)
    wrong: int = 0
    complaints: list[str] = field(default_factory=list)

    @classmethod
    async def of(
        cls,
        store: PostgresEventStore,
        client: AmqpClient,
        domain: Domain,
        commands: Mapping[UUID, Command],
        replies: Mapping[UUID, Sequence[Reply]],
        *,
        expected_dead: Mapping[UUID, str],
    ) -> "Audit":
        """Read the whole log, all receipts and all dead letters, after every worker has drained.

        Args:
            store: The store with the log.
            client: A client of the broker.
            domain: The domain of the commands.
            commands: All published commands.
            replies: All replies; each must agree with its receipt.
            expected_dead: Further published commands that must be dead letters, once each, with the expected reasons.
        """
        audit = cls()
        queues = Topology(domain.name)
        for queue in (queues.queue, queues.retry_queue):
            if left := await client.ready(queue):
                audit.complaints.append(f"{left} messages are left in {queue}")
        found = [await client.take(queues.dead_queue) for _ in range(await client.ready(queues.dead_queue))]
        reasons = {str(command_id): reason for command_id, reason in expected_dead.items()}
        audit.dead = [str(letter.message_id) for letter in found if letter.message_id not in reasons]
        buried = Counter((letter.message_id, letter.headers.get("worker-reason")) for letter in found)
        audit.complaints += [
            f"command {command_id}: a dead letter for {reason} should be there once; there are {buried}"
            for command_id, reason in reasons.items()
            if [(key, count) for key, count in buried.items() if key[0] == command_id] != [((command_id, reason), 1)]
        ][:5]
        events: Counter[UUID] = Counter()
        async for event in store.read(Filter.matching_any_event(), batch_size=5000):
            events[UUID(str(event.metadata["command_id"]))] += 1
        owned: dict[UUID, int] = {}
        async for receipt in store.all_receipts():
            if receipt.key is not None and receipt.recorded_at is not None:
                audit.settled[receipt.key] = receipt.recorded_at.timestamp()
                owned[receipt.key] = 0 if receipt.first is None else (receipt.last or 0) - receipt.first + 1
        letters = Counter(map(UUID, audit.dead))
        for command_id in commands:
            endings = (command_id in owned) + letters[command_id]
            if endings == 0:
                audit.lost.append(command_id)
            elif endings > 1 or events[command_id] != owned.get(command_id, 0):
                audit.doubled.append(command_id)
        answered = {command_id: command for command_id, command in commands.items() if command_id in owned}
        verdict = await judge(store, domain, answered, replies)
        audit.wrong = verdict.violation_count
        audit.complaints += map(str, verdict.violations)
        audit.complaints += _named("neither receipt nor dead letter", audit.lost)
        audit.complaints += _named("more than one receipt or dead letter, or events beside its receipt", audit.doubled)
        return audit


def _named(what: str, command_ids: Iterable[UUID]) -> list[str]:
    return [f"command {command_id}: {what}" for command_id in list(command_ids)[:5]]
