"""The replay: the log, event by event, beside the receipts in the order in which they were written."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from eventstore import Receipt, RecordedEvent
from handlers.decider import Command, DomainEvent
from handlers.domain import Domain
from handlers.errors import HandlerError
from worker.load.case import Case, said
from worker.load.verdict import Verdict
from worker.load.watches import Watch, Watches
from worker.message import Reply

__all__ = ["Replay"]


class Replay:
    """Takes all receipts, then all events, and notes what is wrong. The calls come in the order of the methods.

    Args:
        domain: Whose log it is.
        commands: All that this run published, by id.
        verdict: Where it is noted.
        since: The number of the last event that was there before this run.
    """

    def __init__(self, domain: Domain, commands: Mapping[UUID, Command], verdict: Verdict, since: int) -> None:
        self._domain = domain
        self._commands = commands
        self._verdict = verdict
        self._since = since
        self._head = 0
        self._cases: list[Case] = []
        self._next = 0
        self._unsettled = set(commands)
        self._latest: UUID | None = None
        self._watches = Watches()
        # Whose events are about to come, by their numbers.
        self._owners: defaultdict[int, list[Case]] = defaultdict(list)
        self._checks = [(invariant.name, invariant.start()) for invariant in domain.invariants]
        self._known = {event_type.__name__ for event_type in domain.events}

    def take_receipt(
        self, receipt: Receipt, setup: Collection[UUID], replies: Mapping[UUID, Sequence[Reply]] | None
    ) -> None:
        """Take the next receipt, in the order of their keys."""
        key = receipt.key
        command = self._commands.get(key) if key is not None else None
        if command is None and (receipt.last or receipt.position.number) <= self._since:
            return  # it was there before
        if key == self._latest:
            self._violated(f"command {key} has two receipts", command_ids=(key,))
        self._latest = key
        own = receipt.outcome.details.get("domain") == self._domain.name
        if own and key is not None:
            self._take_own(key, receipt, counted=key not in setup, answers=(replies or {}).get(key, ()))
        self._cases.append(Case.of(receipt, command if own else None))

    def _take_own(self, key: UUID, receipt: Receipt, *, counted: bool, answers: Sequence[Reply]) -> None:
        self._verdict.receipts += 1
        if key not in self._commands:
            self._violated(f"command {key} was settled, but nobody published it")
            return
        self._unsettled.discard(key)
        if counted:
            attempts = int(receipt.outcome.details.get("attempts", 1))
            self._verdict.attempts[attempts] += 1
            if attempts > 1:
                self._verdict.tried_again[key] = attempts
        recorded = (receipt.outcome.kind.value, receipt.outcome.reason, receipt.first, receipt.last, receipt.position)
        for reply in answers:
            if (reply.outcome, reply.reason, reply.first, reply.last, reply.position) != recorded:
                self._violated(f"command {key} was answered {reply.outcome}, unlike its receipt", command_ids=(key,))

    def open(self) -> None:
        """Begin with the log: every receipt has come."""
        for key in self._unsettled:
            name = type(self._commands[key]).__name__
            self._violated(f"{name} {key} was published, but never settled", command_ids=(key,))
        self._cases.sort(key=lambda case: case.prefix)
        watches: dict[tuple[str, bytes], Watch] = {}
        for case in self._cases:
            if case.command is None:
                continue
            try:
                decider = self._domain.decider(type(case.command).__name__)
                boundary = decider.boundary(case.command)
                identity = (decider.name, boundary.digest)
                if (watch := watches.get(identity)) is None:
                    watch = watches[identity] = Watch(boundary, decider, decider.initial(case.command))
                    self._watches.add(watch)
            except HandlerError as error:
                self._cannot_decide(case, error)
                continue
            case.watch = watch
            watch.due += 1

    def take_event(self, event: RecordedEvent) -> bool:
        """Take the next event; say whether the replay can go on."""
        self._verdict.events += 1
        number = event.sequence_number
        if number != self._head + 1:
            self._violated(f"event {number} stands where number {self._head + 1} belongs", events=(event,))
            return False  # numbers mean nothing any more
        self._decide_up_to(self._head)
        self._head = number
        self._attribute(event)
        if (fact := self._recorded(event)) is None:
            return True
        for name, check in self._checks:
            if (violation := check(number, fact)) is not None:
                self._violated(f"{name}: {violation}", events=(event,))
        for watch in self._watches.concerned(event):
            watch.state = watch.decider.evolve(watch.state, fact)
            watch.last = event
        return True

    def close(self) -> None:
        """End: no event is left."""
        self._decide_up_to(self._head)
        for case in self._cases:
            if case.prefix > self._head or (case.last or 0) > self._head:
                text = f"the receipt of {case.key} lies beyond the log's end at {self._head}"
                self._violated(text, command_ids=(case.key,))

    def _decide_up_to(self, number: int) -> None:
        """Decide again what was decided when the log had so many events."""
        while self._next < len(self._cases) and self._cases[self._next].prefix <= number:
            case = self._cases[self._next]
            self._next += 1
            if case.first is not None and case.last is not None:
                for owned in range(case.first, case.last + 1):
                    self._owners[owned].append(case)
            if case.watch is not None and case.command is not None:
                self._decide(case, case.watch, case.command)

    def _decide(self, case: Case, watch: Watch, command: Command) -> None:
        self._verdict.decided_again += 1
        try:
            case.decided = said(self._domain, watch.decider.decide(command, watch.state))
        except HandlerError as error:
            self._cannot_decide(case, error)
        case.before = watch.last
        watch.due -= 1
        if not watch.due:
            self._watches.remove(watch)
        if case.first is None:
            self._compare(case)

    def _attribute(self, event: RecordedEvent) -> None:
        """Give an event to the receipt that it stands in, which must be one, and its own command's."""
        number = event.sequence_number
        owners = self._owners.pop(number, [])
        if not owners and number > self._since:
            self._violated(f"event {number} ({event.type}) stands in no receipt", events=(event,))
        for other in owners[1:]:
            text = f"event {number} stands in the receipts of {owners[0].key} and of {other.key}"
            self._violated(text, events=(event,), command_ids=(owners[0].key, other.key))
        for case in owners:
            if event.metadata.get("command_id") != str(case.key):
                text = f"event {number} stands in the receipt of another command, {case.key}"
                self._violated(text, events=(event,), command_ids=(case.key,))
            case.events.append(event)
            if number == case.last:
                self._compare(case)

    def _compare(self, case: Case) -> None:
        if (difference := case.difference()) is not None:
            self._violated(difference, events=case.evidence(), command_ids=(case.key,))
        case.shut()

    def _recorded(self, event: RecordedEvent) -> DomainEvent | None:
        # Another domain's events may stand in the log, but not in a boundary of this one.
        if event.type not in self._known and not any(True for _ in self._watches.concerned(event)):
            return None
        try:
            return self._domain.recorded(event)
        except HandlerError as error:
            self._violated(str(error), events=(event,))
            return None

    def _cannot_decide(self, case: Case, error: HandlerError) -> None:
        text = f"{type(case.command).__name__} {case.key} cannot be decided again at {case.prefix}: {error}"
        self._violated(text, command_ids=(case.key,))

    def _violated(
        self, text: str, *, events: Sequence[RecordedEvent] = (), command_ids: Sequence[UUID | None] = ()
    ) -> None:
        involved = [*map(str, command_ids), *(str(event.metadata.get("command_id")) for event in events)]
        named = {UUID(each) for each in dict.fromkeys(involved) if _is_uuid(each)}
        known = {command_id: self._commands[command_id] for command_id in named if command_id in self._commands}
        self._verdict.violated(text, events=events, commands=known)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
