"""The replay: compares the log, event by event, with the receipts in the order in which they were written."""

import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from eventstore import SUBJECT_FORGOTTEN, Receipt, RecordedEvent
from handlers.contained import Contained
from handlers.domain import Domain
from handlers.errors import HandlerError
from handlers.invariant import Check, Invariant
from handlers.model import Command, DomainEvent
from handlers.place import place_of
from handlers.reaction import Reaction, Send
from worker.load.opened_events import Opened
from worker.load.oracle_report import OracleReport
from worker.load.part_fold import CannotFold, raised
from worker.load.part_folds import PartFolds
from worker.load.replayed_decision import ReplayedDecision, as_recorded
from worker.load.second_fold import SecondFold
from worker.message import Reply

__all__ = ["Replay"]


class Replay:
    """Takes all receipts, then all events, and notes what is wrong. The methods are called in their order here.

    Args:
        domains: The domains of the commands. Events of other domains in the log are skipped.
        commands: All commands that this run published, by id.
        report: The report to add to.
        since: Sequence number of the last event before this run.
        second_fold: Compares long parts with a separate read and fold.
    """

    def __init__(
        self,
        domains: Sequence[Domain],
        commands: Mapping[UUID, Command],
        report: OracleReport,
        since: int,
        second_fold: SecondFold,
    ) -> None:
        self._domains = {domain.name: domain for domain in domains}
        self._commands = commands
        self._report = report
        self._since = since
        self._second_fold = second_fold
        self._head = 0
        self._decisions: list[ReplayedDecision] = []
        self._next = 0
        self._unsettled = set(commands)
        self._latest: UUID | None = None
        # Settled commands that are none of this run, with the names of their domains.
        self._strangers: dict[UUID, str] = {}
        # Commands of reactions that may have been settled after the receipts were read.
        self._late: set[str] = set()
        self._folds = PartFolds(self.violated)
        # The decisions whose events come next, by the events' numbers.
        self._owners: defaultdict[int, list[ReplayedDecision]] = defaultdict(list)
        self._checks = [
            (domain.name, invariant.name, check)
            for domain in domains
            for invariant in domain.invariants
            if (check := self._begun(invariant)) is not None
        ]

    def _begun(self, invariant: Invariant) -> Check | None:
        """Start an invariant's check; one that cannot start is a violation."""
        place = f"start of the invariant {invariant.name!r} ({place_of(invariant.start)})"
        try:
            check: object = invariant.start()
        except Exception as bug:  # noqa: BLE001  any error of an invariant
            self.violated(f"{place} raised {raised(bug)}; it is called with nothing, and returns the check")
            return None
        if not callable(check):
            self.violated(f"{place} returns the check, a function of a number and an event; not {check!r}")
            return None
        return check

    def take_receipt(
        self, receipt: Receipt, setup: Collection[UUID], replies: Mapping[UUID, Sequence[Reply]] | None
    ) -> None:
        """Take the next receipt, in the order of keys."""
        key = receipt.key
        command = self._commands.get(key) if key is not None else None
        if command is None and (receipt.last or receipt.position.number) <= self._since:
            return  # it is from before the run
        if key == self._latest:
            self.violated(f"command {key} has two receipts", command_ids=(key,))
        self._latest = key
        domain = self._domains.get(str(receipt.outcome.details.get("domain")))
        if domain is not None and key is not None:
            self._take_own(key, receipt, counted=key not in setup, answers=(replies or {}).get(key, ()))
        self._decisions.append(ReplayedDecision.of(receipt, domain, None if domain is None else command))

    def _take_own(self, key: UUID, receipt: Receipt, *, counted: bool, answers: Sequence[Reply]) -> None:
        if key not in self._commands:
            self._strangers[key] = str(receipt.outcome.details.get("domain"))
            return
        self._report.receipts += 1
        self._unsettled.discard(key)
        if counted:
            attempts = int(receipt.outcome.details.get("attempts", 1))
            self._report.attempts[attempts] += 1
            if attempts > 1:
                self._report.tried_again[key] = attempts
        recorded = (receipt.outcome.kind.value, receipt.outcome.reason, receipt.first, receipt.last, receipt.position)
        for reply in answers:
            if (reply.outcome, reply.reason, reply.first, reply.last, reply.position) != recorded:
                self.violated(f"command {key} was answered {reply.outcome}, unlike its receipt", command_ids=(key,))

    def open(self, replies: Mapping[UUID, Sequence[Reply]] | None) -> None:
        """Begin with the log, after all receipts."""
        for key in self._unsettled:
            name = type(self._commands[key]).__name__
            failed = next((reply for reply in (replies or {}).get(key, ()) if reply.outcome == "failed"), None)
            became = "was published, but never settled" if failed is None else f"is a dead letter: {failed.reason}"
            self.violated(f"{name} {key} {became}", command_ids=(key,))
        self._decisions.sort(key=lambda decision: decision.prefix)
        for decision in self._decisions:
            if decision.command is not None and decision.domain is not None:
                self._expect(decision, decision.domain, decision.command)

    def take_event(self, event: RecordedEvent, opened: Opened | None = None) -> bool:
        """Take the next event; return whether the replay can go on.

        Args:
            event: The event as recorded.
            opened: The event with its sealed values decrypted, as far as possible; None if it has none.
        """
        whole = Opened(event) if opened is None else opened
        self._report.events += 1
        self._second_fold.earn()
        number = event.sequence_number
        if number != self._head + 1:
            self.violated(f"event {number} stands where number {self._head + 1} belongs", events=(event,))
            return False  # numbers mean nothing after that
        self._decide_up_to(self._head)
        self._head = number
        self._attribute(event, whole)
        self._recognise(event)
        holding = self._folds.holding(event)
        facts = self._facts(whole.event, {fold.domain.name for fold in holding})
        for domain_name, name, check in self._checks:
            if (fact := facts.get(domain_name)) is None:
                continue
            try:
                with Contained():
                    violation: object = check(number, fact)
            except Exception as bug:  # noqa: BLE001  any error of a check
                violation = f"event {number} cannot be checked: {raised(bug)}"
            if violation is not None and not isinstance(violation, str):
                violation = f"its check returned {violation!r} at event {number}; it returns what is wrong, or None"
            if violation is not None:
                self.violated(f"{name}: {violation}", events=(event,))
        for fold in holding:
            fold.shows_forgotten |= whole.lacks_values
            if (fact := facts.get(fold.domain.name)) is not None:
                self._folds.take(fold, event, fact)
        return True

    def close(self) -> None:
        """End the replay, after the last event."""
        self._decide_up_to(self._head)
        for key in self._strangers:
            self.violated(f"command {key} was settled, but is none of this run: stop whatever else sends commands")
        for decision in self._decisions:
            if decision.prefix > self._head or (decision.last or 0) > self._head:
                text = f"the receipt of {decision.key} lies beyond the log's end at {self._head}"
                self.violated(text, command_ids=(decision.key,))

    def violated(
        self, text: str, *, events: Sequence[RecordedEvent] = (), command_ids: Sequence[UUID | None] = ()
    ) -> None:
        """Add a violation.

        Args:
            text: What is wrong, in a sentence.
            events: The events that show it; their commands are added as well.
            command_ids: The ids of the commands that are involved.
        """
        involved = [*map(str, command_ids), *(str(event.metadata.get("command_id")) for event in events)]
        named = {UUID(each) for each in dict.fromkeys(involved) if _is_uuid(each)}
        known = {command_id: self._commands[command_id] for command_id in named if command_id in self._commands}
        self._report.violated(text, events=events, commands=known)

    def _expect(self, decision: ReplayedDecision, domain: Domain, command: Command) -> None:
        try:
            with Contained():
                decision.folds = self._folds.expect(domain, domain.reads(command, most=sys.maxsize).parts)
        except Exception as bug:  # noqa: BLE001  any error of a domain's functions
            self._cannot_decide(decision, bug)

    def _decide_up_to(self, number: int) -> None:
        """Decide the commands again that were decided when the log had this many events."""
        while self._next < len(self._decisions) and self._decisions[self._next].prefix <= number:
            decision = self._decisions[self._next]
            self._next += 1
            if decision.first is not None and decision.last is not None:
                for owned in range(decision.first, decision.last + 1):
                    self._owners[owned].append(decision)
            if decision.folds is not None and decision.domain is not None and decision.command is not None:
                self._decide(decision, decision.domain, decision.command)
                for fold in decision.folds:
                    self._second_fold.expect(fold, number)
                self._folds.release(decision.folds)
            if decision.first is None:
                self._compare(decision)

    def _decide(self, decision: ReplayedDecision, domain: Domain, command: Command) -> None:
        self._report.decided_again += 1
        folds = decision.folds or ()
        decision.shows_forgotten = any(fold.shows_forgotten for fold in folds)
        latest = [fold.last for fold in folds if fold.last is not None]
        decision.before = max(latest, key=lambda event: event.sequence_number, default=None)
        try:
            with Contained():
                # Called once more: what a command reads must depend on the command only, not on earlier calls.
                reads = domain.reads(command, most=sys.maxsize)
                if [part.identity for part in reads.parts] != [fold.part.identity for fold in folds]:
                    text = f"{decision.name} reads other parts when it is asked again"
                    self.violated(text, command_ids=(decision.key,))
                    return
                states = self._folds.states(folds, reads.parts)
                decided = self._folds.decided(domain.decider(type(command).__name__), command, reads.arguments(states))
                decision.decided = as_recorded(domain, decided)
        except Exception as bug:  # noqa: BLE001  as above
            self._cannot_decide(decision, bug)

    def _attribute(self, event: RecordedEvent, opened: Opened) -> None:
        """Assign an event to its receipt: there must be exactly one, that of its own command."""
        number = event.sequence_number
        owners = self._owners.pop(number, [])
        needs_one = number > self._since and event.type != SUBJECT_FORGOTTEN
        if not owners and needs_one and str(event.metadata.get("command_id")) not in self._late:
            self.violated(f"event {number} ({event.type}) stands in no receipt", events=(event,))
        for other in owners[1:]:
            text = f"event {number} stands in the receipts of {owners[0].key} and of {other.key}"
            self.violated(text, events=(event,), command_ids=(owners[0].key, other.key))
        for decision in owners:
            if event.metadata.get("command_id") != str(decision.key):
                text = f"event {number} stands in the receipt of another command, {decision.key}"
                self.violated(text, events=(event,), command_ids=(decision.key,))
            decision.events.append(event)
            decision.opened.append(opened.event)
            decision.shows_forgotten |= opened.lacks_values
            if number == decision.last:
                self._compare(decision)

    def _recognise(self, event: RecordedEvent) -> None:
        """Recognise the commands that reactions send after an event, by their ids: `worker follow` may run."""
        is_of_run = event.sequence_number > self._since
        if not is_of_run and not self._strangers:
            return
        for name, domain in self._domains.items():
            for reaction in domain.reactions:
                for index, send in enumerate(_sent_after(event, domain, reaction)):
                    command_id = reaction.command_id(name, event.position, index)
                    if self._strangers.get(command_id) == (send.to or name):
                        del self._strangers[command_id]
                        self._report.reacted += 1
                    elif is_of_run:
                        self._late.add(str(command_id))

    def _compare(self, decision: ReplayedDecision) -> None:
        difference = decision.difference()
        if decision.shows_forgotten:
            self._report.forgotten += 1
        elif difference is not None:
            self.violated(difference, events=decision.evidence(), command_ids=(decision.key,))
        decision.shut()

    def _facts(self, event: RecordedEvent, concerned: Collection[str]) -> dict[str, DomainEvent]:
        """Parse an event, once for each domain that knows its type or has a part that contains it."""
        facts = {}
        for name, domain in self._domains.items():
            if event.type in domain.event_models or name in concerned:
                try:
                    facts[name] = domain.recorded(event)
                except HandlerError as error:
                    self.violated(str(error), events=(event,))
        return facts

    def _cannot_decide(self, decision: ReplayedDecision, bug: Exception) -> None:
        why = str(bug) if isinstance(bug, CannotFold | HandlerError) else raised(bug)
        text = f"{decision.name} cannot be decided again at {decision.prefix}: {why}"
        self.violated(text, command_ids=(decision.key,))


def _sent_after(event: RecordedEvent, domain: Domain, reaction: Reaction) -> Sequence[Send]:
    try:
        return reaction.sent_by(domain.projected(event)) if reaction.events.holds(event) else ()
    except Exception:  # noqa: BLE001  any error of a reaction: it is stopped by this event, and sends nothing
        return ()


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
