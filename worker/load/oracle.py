"""The oracle: replays a whole log and finds out whether every answer was right.

It shares no code with the worker's way of deciding: the boundary's events come from an index of its own over the log,
not from a query, and the decision is made again from the prefix at which it was recorded.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from uuid import UUID

from eventstore import EventStore, Filter, OutcomeKind, Receipt
from eventstore.jsontext import decode_object
from handlers.decider import Accepted, Command, Decider, Decision, DomainEvent, Rejected
from handlers.domain import Domain
from handlers.errors import HandlerError
from worker.load.history import History
from worker.message import Reply

__all__ = ["Verdict", "judge"]

_MOST_VIOLATIONS = 20
_BREATH = 200


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What the oracle found.

    Attributes:
        events: How many events the log holds.
        receipts: How many receipts of the domain there are.
        decided_again: How many of them were decided again from their prefix.
        attempts: How many of the commands were decided how often until they had their receipt.
        invariants: The names of the invariants that were checked over every event.
        violations: What is wrong, in sentences; at most the first twenty.
        violation_count: How many violations there are in all.
        seconds: How long it took.
    """

    events: int = 0
    receipts: int = 0
    decided_again: int = 0
    attempts: Counter[int] = field(default_factory=Counter)
    invariants: tuple[str, ...] = ()
    violations: list[str] = field(default_factory=list)
    violation_count: int = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return self.violation_count == 0

    def violated(self, text: str) -> None:
        """Note that something is wrong."""
        self.violation_count += 1
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(text)


async def judge(
    store: EventStore,
    domain: Domain,
    commands: Mapping[UUID, Command],
    replies: Mapping[UUID, Sequence[Reply]] | None = None,
) -> Verdict:
    """Replay the log of a store that only these commands of the domain were sent to.

    Found must be: gapless numbers; each event in exactly one receipt, that of its own command; the domain's invariants
    unbroken; as many receipts as commands, by distinct id; for every receipt the same decision again, from the prefix
    just below its first event or, without events, at the position it was validated at; and every reply as its receipt
    says.

    Args:
        store: Where the log and the receipts are; both are read from the primary.
        domain: Whose commands they were.
        commands: All that was published, by id.
        replies: All answers that came back, by command id; None checks no replies.

    Returns:
        The verdict. Whatever is wrong is a violation in it, not an exception.

    Raises:
        EventStoreError: The store could not be read.
    """
    began = perf_counter()
    verdict = Verdict(invariants=tuple(invariant.name for invariant in domain.invariants))
    history = await _history(store, verdict)
    receipts = [receipt async for receipt in store.receipts()]
    _check_events_have_receipts(history, receipts, verdict)
    _check_invariants(history, domain, verdict)
    own = [receipt for receipt in receipts if receipt.outcome.details.get("domain") == domain.name]
    verdict.receipts = len(own)
    verdict.attempts.update(int(receipt.outcome.details.get("attempts", 1)) for receipt in own)
    _check_settled(own, commands, verdict)
    tribunal = _Tribunal(history, domain)
    # In the order in which they were decided, so that a boundary that comes again is carried on from where it was.
    for count, receipt in enumerate(sorted(own, key=_prefix)):
        if receipt.key is not None and receipt.key in commands and _prefix(receipt) <= history.head:
            verdict.decided_again += 1
            if (difference := tribunal.difference(receipt, commands[receipt.key])) is not None:
                verdict.violated(difference)
        if count % _BREATH == 0:
            await asyncio.sleep(0)  # a long replay must not keep Ctrl-C waiting
    if replies is not None:
        _check_replies({receipt.key: receipt for receipt in own}, replies, verdict)
    verdict.seconds = perf_counter() - began
    return verdict


class _Tribunal:
    """Decides commands again, each at its own point of the past."""

    def __init__(self, history: History, domain: Domain) -> None:
        self._history = history
        self._domain = domain
        self._facts: dict[int, DomainEvent] = {}
        # By decider and boundary: a state, and the number up to which it is folded.
        self._states: dict[tuple[str, bytes], tuple[Any, int]] = {}

    def difference(self, receipt: Receipt, command: Command) -> str | None:
        """Say how the decision differs from the receipt; None when it does not."""
        name = type(command).__name__
        at = _prefix(receipt)
        try:
            decider = self._domain.decider(name)
            decision = decider.decide(command, self._state(decider, command, at))
        except HandlerError as error:
            return f"{name} {receipt.key} cannot be decided again at {at}: {error}"
        decided, recorded = self._said(decision), self._recorded(receipt)
        if decided == recorded:
            return None
        return f"{name} {receipt.key} was {_text(recorded)}, but the log up to {at} makes it {_text(decided)}"

    def _state(self, decider: Decider[Any, Any], command: Command, at: int) -> Any:
        boundary = decider.boundary(command)
        identity = (decider.name, boundary.digest)
        state, seen = self._states.get(identity) or (decider.initial(command), 0)
        state = decider.fold(state, self._facts_of(boundary, seen, at))
        self._states[identity] = (state, at)
        return state

    def _facts_of(self, boundary: Filter, above: int, up_to: int) -> Iterator[DomainEvent]:
        for event in self._history.matching(boundary, above=above, up_to=up_to):
            fact = self._facts.get(event.sequence_number)
            if fact is None:
                fact = self._facts[event.sequence_number] = self._domain.recorded(event)
            yield fact

    def _said(self, decision: Decision) -> "_Said":
        facts: tuple[DomainEvent, ...] = ()
        kind, reason = OutcomeKind.UNCHANGED, None
        if isinstance(decision, Accepted):
            kind, facts = OutcomeKind.ACCEPTED, decision.events
        elif isinstance(decision, Rejected):
            kind, reason = OutcomeKind.REJECTED, decision.reason
            facts = () if decision.event is None else (decision.event,)
        events = [self._domain.to_record(fact, {}) for fact in facts]
        return kind, reason, [(event.type, decode_object(event.payload_text)) for event in events]

    def _recorded(self, receipt: Receipt) -> "_Said":
        events = self._history.events[receipt.first - 1 : receipt.last] if receipt.first is not None else []
        return receipt.outcome.kind, receipt.outcome.reason, [(event.type, event.payload) for event in events]


# Kind, reason, and each event's type and payload.
_Said = tuple[OutcomeKind, str | None, list[tuple[str, dict[str, Any]]]]


def _text(said: _Said) -> str:
    kind, reason, events = said
    because = f" ({reason})" if reason else ""
    return f"{kind.value}{because} with {', '.join(name for name, _ in events) or 'no event'}"


def _prefix(receipt: Receipt) -> int:
    """The number up to which the log was when the receipt's command was decided."""
    return receipt.first - 1 if receipt.first is not None else receipt.position.number


async def _history(store: EventStore, verdict: Verdict) -> History:
    history = History()
    async for event in store.read(Filter.matching_any_event(), batch_size=5000):
        verdict.events += 1
        try:
            history.add(event)
        except ValueError as gap:
            verdict.violated(str(gap))
            break  # numbers mean nothing any more
    return history


def _check_events_have_receipts(history: History, receipts: Sequence[Receipt], verdict: Verdict) -> None:
    owner: dict[int, UUID | None] = {}
    keys: set[UUID | None] = set()
    for receipt in receipts:
        if receipt.key in keys:
            verdict.violated(f"command {receipt.key} has two receipts")
        keys.add(receipt.key)
        if _prefix(receipt) > history.head or (receipt.last or 0) > history.head:
            verdict.violated(f"the receipt of {receipt.key} lies beyond the log's end at {history.head}")
        if receipt.first is None or receipt.last is None:
            continue
        for number in range(receipt.first, receipt.last + 1):
            if number in owner:
                verdict.violated(f"event {number} stands in the receipts of {owner[number]} and of {receipt.key}")
            owner[number] = receipt.key
    for event in history.events:
        key = owner.get(event.sequence_number)
        if key is None:
            verdict.violated(f"event {event.sequence_number} ({event.type}) stands in no receipt")
        elif event.metadata.get("command_id") != str(key):
            verdict.violated(f"event {event.sequence_number} stands in the receipt of another command, {key}")


def _check_invariants(history: History, domain: Domain, verdict: Verdict) -> None:
    checks = [(invariant.name, invariant.start()) for invariant in domain.invariants]
    known = {event_type.__name__ for event_type in domain.events}
    for event in history.events:
        if event.type not in known:
            continue
        try:
            fact = domain.recorded(event)
        except HandlerError as error:
            verdict.violated(str(error))
            continue
        for name, check in checks:
            if (violation := check(event.sequence_number, fact)) is not None:
                verdict.violated(f"{name}: {violation}")


def _check_settled(receipts: Sequence[Receipt], commands: Mapping[UUID, Command], verdict: Verdict) -> None:
    settled = {receipt.key for receipt in receipts}
    for command_id, command in commands.items():
        if command_id not in settled:
            verdict.violated(f"{type(command).__name__} {command_id} was published, but never settled")
    for key in settled:
        if key not in commands:
            verdict.violated(f"command {key} was settled, but nobody published it")


def _check_replies(
    receipts: Mapping[UUID | None, Receipt], replies: Mapping[UUID, Sequence[Reply]], verdict: Verdict
) -> None:
    for command_id, answers in replies.items():
        receipt = receipts.get(command_id)
        if receipt is None:
            continue  # told already, as published and never settled
        recorded = (receipt.outcome.kind.value, receipt.outcome.reason, receipt.first, receipt.last, receipt.position)
        for reply in answers:
            if (reply.outcome, reply.reason, reply.first, reply.last, reply.position) != recorded:
                verdict.violated(f"command {command_id} was answered {reply.outcome}, unlike its receipt")
