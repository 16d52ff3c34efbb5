"""The oracle calls a right log clean, and finds each kind of wrong in a log that was tampered with."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from eventstore import Event, MemoryEventStore, Outcome, OutcomeKind, Receipt, RecordedEvent
from handlers.decider import Command
from handlers.domain import Domain
from tests.unit.worker.tally import Count, CountOnce, domain
from worker.load.oracle import Verdict, judge
from worker.message import CommandMessage, Reply
from worker.processor import Processor
from worker.settings import Settings


class Ledger(MemoryEventStore):
    """A store whose log and receipts can be forged."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: dict[UUID, Command] = {}
        self.replies: dict[UUID, list[Reply]] = {}
        self.hidden: set[UUID] = set()

    async def receipts(self, *, batch_size: int = 1000) -> AsyncIterator[Receipt]:
        async for receipt in super().receipts(batch_size=batch_size):
            if receipt.key not in self.hidden:
                yield receipt

    def forge_receipt(self, key: UUID, forge: Callable[[Receipt], Receipt]) -> None:
        digest, receipt = self._receipts[key]
        self._receipts[key] = (digest, forge(receipt))

    def forge_event(self, number: int, forge: Callable[[RecordedEvent], RecordedEvent]) -> None:
        self._events[number - 1] = forge(self._events[number - 1])

    async def decide(self, command: Command) -> UUID:
        """Decide a command as a worker does, and keep what a load run keeps."""
        key = uuid4()
        processor = Processor(self, domain, Settings())
        message = CommandMessage(
            command_id=key,
            command_type=type(command).__name__,
            body=json.dumps(command.model_dump(by_alias=True)).encode(),
            correlation_id=str(key),
            causation_id=str(key),
            headers={},
        )
        receipt = (await processor.process(message)).receipt
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

    async def judge(self, judged: Domain = domain) -> Verdict:
        return await judge(self, judged, self.commands, self.replies)


@pytest.fixture
async def ledger() -> Ledger:
    """Accepted, rejected with and without an event, and unchanged, over two boundaries that grow in turn."""
    made = Ledger()
    for key in ("a", "b", "a", "b", "a", "a"):
        await made.decide(Count(key=key, limit=3))
    await made.decide(Count(key="a", limit=3, quietly=True))
    await made.decide(CountOnce(key="a"))
    await made.decide(CountOnce(key="c"))
    return made


def keys(ledger: Ledger, kind: OutcomeKind) -> list[UUID]:
    return [key for key, (_, receipt) in ledger._receipts.items() if receipt.outcome.kind is kind]


async def test_a_right_log_is_clean(ledger: Ledger) -> None:
    verdict = await ledger.judge()
    assert verdict.violations == []
    assert verdict.clean
    assert (verdict.events, verdict.receipts, verdict.decided_again) == (7, 9, 9)
    assert verdict.attempts == {1: 9}


async def test_another_decision_is_found(ledger: Ledger) -> None:
    key = keys(ledger, OutcomeKind.UNCHANGED)[0]
    rejected = Outcome(kind=OutcomeKind.REJECTED, reason="no", details={"domain": "tally"})
    ledger.forge_receipt(key, lambda receipt: replace(receipt, outcome=rejected))
    ledger.replies.clear()
    verdict = await ledger.judge()
    assert verdict.violations == [
        f"CountOnce {key} was rejected (no) with no event, but the log up to 6 makes it unchanged with no event"
    ]


async def test_a_decision_from_a_stale_prefix_is_found(ledger: Ledger) -> None:
    """What a store without conflict detection would let through: an acceptance above the limit."""
    key = uuid4()
    details = {"domain": "tally", "command_type": "Count"}
    await ledger.append(
        [Event(type="Counted", payload={"Key": "a"}, metadata={"command_id": str(key)})],
        key=key,
        outcome=Outcome(kind=OutcomeKind.ACCEPTED, details=details),
    )
    ledger.commands[key] = Count(key="a", limit=3)
    verdict = await ledger.judge()
    assert verdict.violation_count == 1
    assert "was accepted with Counted" in verdict.violations[0]
    assert "makes it rejected (limit reached) with CountingFailed" in verdict.violations[0]


async def test_a_changed_payload_is_found(ledger: Ledger) -> None:
    ledger.forge_event(2, lambda event: replace(event, payload={"Key": "z"}))
    assert not (await ledger.judge()).clean


async def test_a_gap_is_found(ledger: Ledger) -> None:
    ledger.forge_event(7, lambda event: replace(event, sequence_number=8))
    verdict = await ledger.judge()
    assert "event 8 stands where number 7 belongs" in verdict.violations


async def test_a_command_that_was_never_settled_is_found(ledger: Ledger) -> None:
    key = keys(ledger, OutcomeKind.UNCHANGED)[0]
    ledger.hidden.add(key)
    assert (await ledger.judge()).violations == [f"CountOnce {key} was published, but never settled"]


async def test_an_answer_to_a_command_that_nobody_sent_is_found(ledger: Ledger) -> None:
    key = keys(ledger, OutcomeKind.REJECTED)[0]
    del ledger.commands[key]
    assert (await ledger.judge()).violations == [f"command {key} was settled, but nobody published it"]


async def test_an_event_without_a_receipt_is_found(ledger: Ledger) -> None:
    await ledger.append([Event(type="Counted", payload={"Key": "d"})])
    assert (await ledger.judge()).violations == ["event 8 (Counted) stands in no receipt"]


async def test_an_event_of_another_command_is_found(ledger: Ledger) -> None:
    ledger.forge_event(1, lambda event: replace(event, metadata={**event.metadata, "command_id": str(uuid4())}))
    (violation,) = (await ledger.judge()).violations
    assert violation.startswith("event 1 stands in the receipt of another command")


async def test_a_reply_unlike_its_receipt_is_found(ledger: Ledger) -> None:
    key = keys(ledger, OutcomeKind.ACCEPTED)[0]
    ledger.replies[key].append(Reply(command_id=key, outcome="accepted", first=99, last=99))
    assert (await ledger.judge()).violations == [f"command {key} was answered accepted, unlike its receipt"]


async def test_violations_are_counted_beyond_those_told(ledger: Ledger) -> None:
    ledger.commands |= {uuid4(): CountOnce(key="x") for _ in range(30)}
    verdict = await ledger.judge()
    assert verdict.violation_count == 30
    assert len(verdict.violations) == 20
