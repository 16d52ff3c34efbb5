"""A memory store whose log and receipts can be forged, with a simple sequential decider."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

from eventstore import MemoryEventStore, Outcome, OutcomeKind, Receipt, RecordedEvent
from handlers import Accepted, Command, Decision, Domain, Part, Rejected
from tests.support.domains.tally import domain
from worker.load.oracle import judge
from worker.load.oracle_report import OracleReport
from worker.message import Reply

__all__ = ["Ledger", "texts"]


class Ledger(MemoryEventStore):
    """A log, its receipts, and the data that a load run keeps.

    Args:
        served: The domain.
    """

    def __init__(self, served: Domain = domain) -> None:
        super().__init__()
        self.served = served
        self.commands: dict[UUID, Command] = {}
        self.replies: dict[UUID, list[Reply]] = {}
        self.hidden: set[UUID] = set()
        self.twice: UUID | None = None

    async def all_receipts(self, *, batch_size: int = 1000) -> AsyncIterator[Receipt]:
        async for receipt in super().all_receipts(batch_size=batch_size):
            if receipt.key not in self.hidden:
                yield receipt
            if receipt.key == self.twice:
                yield receipt

    def forge_receipt(self, key: UUID, forge: Callable[[Receipt], Receipt]) -> None:
        digest, receipt = self._log.receipts[key, ""]
        self._log.receipts[key, ""] = (digest, forge(receipt))

    def forge_event(self, number: int, forge: Callable[[RecordedEvent], RecordedEvent]) -> None:
        self._log.events[number - 1] = forge(self._log.events[number - 1])

    def keys(self, kind: OutcomeKind) -> list[UUID]:
        """Return the ids of the commands with this outcome."""
        return [key for (key, _), (_, receipt) in self._log.receipts.items() if receipt.outcome.kind is kind]

    async def decide(self, command: Command, served: Domain | None = None) -> UUID:
        """Decide a command from its whole history; nothing else writes meanwhile."""
        owner = served or self.served
        reads = owner.reads(command)
        states = {part: await self.state(owner, part) for part in reads.parts}
        return await self.record(command, owner.decide(command, reads, states), owner)

    async def state(self, owner: Domain, part: Part[Any]) -> Any:
        """Return a part's present state."""
        return owner.fold(part, part.initial(), [event for event in self._log.events if part.filter.holds(event)])

    async def record(self, command: Command, decision: Decision, served: Domain | None = None) -> UUID:
        """Record a decision, correct or not, as a worker does, with the data that a load run keeps."""
        key, owner = uuid4(), served or self.served
        facts: Sequence[Any] = ()
        outcome: dict[str, Any] = {"kind": OutcomeKind.UNCHANGED}
        if isinstance(decision, Accepted):
            outcome, facts = {"kind": OutcomeKind.ACCEPTED}, decision.events
        elif isinstance(decision, Rejected):
            outcome = {"kind": OutcomeKind.REJECTED, "reason": decision.reason}
            facts = () if decision.event is None else (decision.event,)
        receipt = await self.append(
            [owner.to_record(fact, {"command_id": str(key)}) for fact in facts],
            key=key,
            outcome=Outcome(**outcome, details={"domain": owner.name, "command_type": type(command).__name__}),
        )
        self.commands[key] = command
        self.replies[key] = [
            Reply(
                command_id=key,
                outcome=receipt.outcome.kind.value,
                reason=receipt.outcome.reason,
                first=receipt.first,
                last=receipt.last,
                position=receipt.position,
            )
        ]
        return key

    async def judge(self, judged: Domain | None = None, **options: Any) -> OracleReport:
        return await judge(self, judged or self.served, self.commands, self.replies, **options)


def texts(report: OracleReport) -> list[str]:
    return [violation.text for violation in report.violations]
