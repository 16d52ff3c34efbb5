"""The round: commands that are decided one on top of another, and recorded by one append."""

import time
from collections.abc import Collection, Sequence
from typing import Any

from msgspec.structs import replace

from eventstore import (
    SUBJECT_FORGOTTEN,
    Append,
    BoundaryPart,
    ConcurrencyConflict,
    Event,
    HistoryDiverged,
    Outcome,
    OwnRange,
    Position,
    Receipt,
    RecordedEvent,
)
from eventstore.append import LARGEST_APPEND
from eventstore.boundary_index import BoundaryIndex
from eventstore.jsontext import decode_object
from handlers.domain import Domain
from handlers.kept_states import KeptState
from handlers.part import Part
from handlers.part_reader import PartReader
from worker.rounds.job import Job
from worker.rounds.own_events import OwnEvent, OwnEvents
from worker.rounds.part_states import PartEntry, PartStates

__all__ = ["NO_NUMBER", "Alone", "Member", "NotKnown", "Round", "Verdict"]

NO_NUMBER = 2**62
"""Stands for the number of an event that has none yet: no bound on the number leaves it out."""

Verdict = Receipt | Exception
"""What became of a member."""


class Alone(Exception):
    """Raised when a command can only be decided with nothing under way.

    A part of it counts only from a number on that the log has not reached: whether an event about to be recorded
    counts cannot be told before it has its number.
    """


class NotKnown(Exception):
    """Raised when a part has to be read before it can be decided on."""


class Member:
    """A command of a round, with what was decided.

    Attributes:
        job: The command.
        events: What is to be recorded.
        outcome: What its receipt will say.
        own: The same events, as later members see them.
    """

    __slots__ = ("events", "job", "outcome", "own")

    def __init__(self, job: Job, events: Sequence[Event], outcome: Outcome, own: Sequence[OwnEvent]) -> None:
        self.job = job
        self.events = events
        self.outcome = outcome
        self.own = own


class _Overlaid:
    """A part's state on top of what is not recorded yet.

    Attributes:
        kept: What was known of the part.
        base: The mark of the state that it was begun with.
        mark: That of the state.
        state: The state.
        seen: Up to which of our own events it is folded.
    """

    __slots__ = ("base", "kept", "mark", "seen", "state")

    def __init__(self, state: Any, mark: object, seen: int, kept: KeptState | None) -> None:
        self.kept = kept
        self.base = self.mark = mark
        self.state = state
        self.seen = seen


class Round:
    """Commands of one domain that are decided together.

    What is decided on an event that is not recorded yet lies here, beside what is known, and is gone when that event is
    refused.

    Args:
        domain: Whose commands.
        states: What is known of the parts, all of them in use.
        own: Our own events.
        previous: The round that is being recorded meanwhile; this one is decided on top of it.

    Attributes:
        members: Who takes part, in order.
    """

    def __init__(self, domain: Domain, states: PartStates, own: OwnEvents, previous: "Round | None") -> None:
        self.members: list[Member] = []
        self._domain = domain
        self._known = states
        self._own = own
        self._previous = previous
        self._overlaid: dict[PartEntry, _Overlaid] = {}
        self._last = own.last
        self._events = 0
        self._sent_at = 0.0

    def states_for(self, job: Job) -> dict[Part[Any], Any]:
        """Return the states of what a command reads, on top of everything decided before it.

        Raises:
            Alone: It can only be decided with nothing under way.
            NotKnown: A part has to be read before.
            Exception: Whatever a view raises.
        """
        return {entry.part: self._state(entry).state for entry in job.entries}

    def add(
        self, job: Job, events: Sequence[Event], outcome: Outcome, *, recorded_as: Sequence[Event] | None = None
    ) -> None:
        """Add a decision. Its events are read back and folded first: what cannot be is never recorded.

        Args:
            job: The command.
            events: What was decided.
            outcome: What its receipt will say.
            recorded_as: The same events as the store gets them, where that differs: with sealed values.

        Raises:
            Alone: With the events before it they would be too many for one round.
            UnknownEventType, UnreadableEvent: As ``Domain.recorded``.
            Exception: Whatever a view raises.
        """
        if self.members and self._events + len(events) > LARGEST_APPEND:
            raise Alone
        own = []
        for event in events:
            recorded = RecordedEvent(
                sequence_number=NO_NUMBER,
                token=0,
                type=event.type,
                payload=decode_object(event.payload_text),
                metadata=dict(event.metadata),  # it tells the event's version
                occurred_at=event.occurred_at,
            )
            own.append(OwnEvent(recorded, self._domain.recorded(recorded)))
        folded: list[tuple[_Overlaid, Any]] = []
        if own:
            for entry in job.entries:
                mine = [each.fact for each in own if entry.part.filter.holds(each.recorded)]
                if mine:
                    overlaid = self._overlaid[entry]
                    folded.append((overlaid, entry.part.advanced(overlaid.state, mine)))
        # A command that has its answer already records nothing: nobody relies on it.
        if own and not job.is_recorded:
            self._own.add(own)
            self._last = self._own.last
            for overlaid, state in folded:
                overlaid.state = state
                overlaid.mark = object()
            for entry in job.entries:
                self._overlaid[entry].seen = self._last
        self.members.append(Member(job, events if recorded_as is None else recorded_as, outcome, own))
        self._events += len(events)

    def prepare(self, late: Collection[Job] = ()) -> list[Job]:
        """Make ready to be sent, when nothing else is being recorded any more.

        Args:
            late: Who must not be recorded yet.

        Returns:
            Those, and who was decided on what did not come about, or relies on one of these. They have left.
        """
        self._previous = None
        # One that is not kept any more is known of nothing.
        stale = {
            entry
            for entry, overlaid in self._overlaid.items()
            if entry.kept is None or entry.must_read or entry.mark is not overlaid.base
        }
        # Who has been told of its end meanwhile must not be recorded after that.
        ended = any(member.job.has_ended for member in self.members)
        left = self._part_with(stale, late) if stale or late or ended else []
        # Nobody relies on them, and those who rely on each other are last to be judged.
        self.members.sort(key=lambda member: member.job.is_recorded)
        if not self.members:
            # Nothing is under way any more. Who can only be decided then would wait for ever.
            self._own.settle(self._last)
        return left

    def appends(self) -> list[Append]:
        """Return what is to be recorded, as one chain, to be sent at once."""
        self._sent_at = time.monotonic()
        for entry, overlaid in self._overlaid.items():
            overlaid.kept = entry.kept
        boundaries: dict[PartEntry, BoundaryPart] = {}
        return [self._append(member, boundaries) for member in self.members]

    def settle(self, verdicts: Sequence[Verdict], reader: PartReader) -> None:
        """Take note of what was recorded, and of what was not.

        Args:
            verdicts: What became of each member.
            reader: Has states stored that are due.
        """
        self._number(verdicts)
        refused = [
            own
            for member, verdict in zip(self.members, verdicts, strict=True)
            if _is_new(verdict) == member.job.is_recorded
            for own in member.own
        ]
        self._own.remove(refused)
        self._own.settle(self._last)
        wrong = self._touched(refused)
        validators: dict[PartEntry, Receipt] = {}
        for member, verdict in zip(self.members, verdicts, strict=True):
            if isinstance(verdict, HistoryDiverged):
                self._known.forget()
                return
            if isinstance(verdict, Receipt) and not verdict.duplicate:
                self._known.note_head(verdict.position.number)
                validators.update(dict.fromkeys(member.job.entries, verdict))
        for entry in list(self._overlaid):
            if entry not in wrong:
                self._take(entry, validators.get(entry), reader)
        for member, verdict in zip(self.members, verdicts, strict=True):
            if isinstance(verdict, ConcurrencyConflict):
                # Before the next round is sent: who read the same part there would lose as well.
                entries = member.job.entries
                # What forgets a subject concerns all that was read of it, and what seals for it.
                lacking = entries if verdict.event_type == SUBJECT_FORGOTTEN else [entries[verdict.part]]
                self._known.distrust(lacking, verdict.sequence_number)
        # Not before: the states of this round are made of them.
        self._own.trim()

    def _take(self, entry: PartEntry, validator: Receipt | None, reader: PartReader) -> None:
        """Take a part's state over into what is known, if it was begun with that."""
        overlaid = self._overlaid[entry]
        if entry.kept is None or entry.kept is not overlaid.kept or entry.mark is not overlaid.base:
            return
        events = entry.part.filter
        if events.above > entry.number:
            return  # whether it counts, what was recorded tells by its number only
        if entry.seen < self._own.gone:
            return  # what lies between is forgotten, and no range may claim it
        own = self._own.matching(entry.search, after=entry.seen, up_to=self._last, bounded=False)
        if own and own[0].number <= entry.kept.position.number:
            return  # a read that came in meanwhile has them already
        if overlaid.seen < self._last:
            try:
                self._fold(entry, overlaid, [each for each in own if each.ordinal > overlaid.seen])
            except Exception:  # noqa: BLE001  the view's own; whoever reads the part next meets it, and it is that one's
                self._known.distrust([entry])
                return
            overlaid.seen = self._last
        if validator is None or (own and own[-1].number > validator.position.number):
            self._known.extended(entry, overlaid.state, own, self._last, overlaid.mark)
            if validator is not None:
                # Nobody else's event lies above its position, up to its own ranges.
                entry.must_read = False
            return
        kept = replace(
            entry.kept,
            state=overlaid.state,
            position=validator.position,
            events=entry.events + len(own),
            read_at=self._sent_at,
        )
        newest = own[-1].recorded if own else None
        self._known.validated(entry, reader.validated(entry.part, kept, newest), self._last, overlaid.mark)

    def abandon(self) -> None:
        """Take note that nobody knows what was recorded: everything decided here counts as refused."""
        events = [own for member in self.members for own in member.own]
        self._own.remove(events)
        self._own.settle(self._last)
        self._own.trim()
        self._known.distrust([*self._overlaid, *self._known.touched(own.recorded for own in events)])

    def _state(self, entry: PartEntry, up_to: int | None = None) -> _Overlaid:
        """Return a part's state on top of our own events; up to an ordinal of this round, or all there are."""
        end = self._own.last if up_to is None else up_to
        overlaid = self._overlaid.get(entry)
        above = entry.part.filter.above
        # Also of what is here already: the bound speaks of numbers that nobody has been given yet, and the store does
        # not judge by what lies below it.
        if above and up_to is None and end > self._own.settled and entry.kept is not None and above > entry.number:
            raise Alone
        if overlaid is None:
            self._known.advance(entry)
            if entry.kept is None or entry.seen < self._own.gone:
                raise NotKnown
            overlaid = _Overlaid(entry.state, entry.mark, entry.seen, entry.kept)
            news = self._own.matching(entry.search, after=entry.seen, up_to=end)
            previous = self._previous
            if previous is not None and (
                entry in previous._overlaid or (news and news[0].ordinal <= previous._last)  # noqa: SLF001  of the same kind
            ):
                before = previous._state(entry, up_to=previous._last)  # noqa: SLF001  likewise
                overlaid = _Overlaid(before.state, before.mark, before.seen, entry.kept)
                news = [own for own in news if own.ordinal > before.seen]
            self._overlaid[entry] = overlaid
            self._fold(entry, overlaid, news)
            overlaid.seen = end
        elif overlaid.seen < end:
            self._fold(entry, overlaid, self._own.matching(entry.search, after=overlaid.seen, up_to=end))
            overlaid.seen = end
        return overlaid

    def _fold(self, entry: PartEntry, overlaid: _Overlaid, news: Sequence[OwnEvent]) -> None:
        if news:
            overlaid.state = entry.part.advanced(overlaid.state, [own.fact for own in news])
            overlaid.mark = object()

    def _append(self, member: Member, boundaries: dict[PartEntry, BoundaryPart]) -> Append:
        for entry in member.job.entries:
            if entry not in boundaries:
                if entry.kept is None:
                    raise RuntimeError(f"{entry.part} is decided on, and not known")
                boundaries[entry] = BoundaryPart(
                    filter=self._domain.sensitive.watched(entry.part),
                    after=entry.kept.position,
                    besides=entry.ranges,
                )
        prepared = member.job.prepared
        return Append(
            events=member.events,
            boundary=[boundaries[entry] for entry in member.job.entries] or None,
            key=member.job.command_id,
            scope=self._domain.name,
            digest=prepared.digest if prepared is not None else None,
            outcome=member.outcome,
            context=member.job.attempt_context,
        )

    def _part_with(self, stale: set[PartEntry], late: Collection[Job]) -> list[Job]:
        """Let go of who is late or read a stale part, and of who relies on one of these, or follows it in its key."""
        index: BoundaryIndex | None = None
        entries = list(self._overlaid)
        staying: list[Member] = []
        left: list[Job] = []
        late_keys: set[str | None] = set()
        for member in self.members:
            job = member.job
            may_stay = stale.isdisjoint(job.entries) and job not in late and job.affinity_key not in late_keys
            if may_stay and not job.has_ended:
                staying.append(member)
                continue
            left.append(job)
            if job.affinity_key is not None and not job.has_ended:
                late_keys.add(job.affinity_key)
            self._own.remove(member.own)
            if index is None:
                index = BoundaryIndex(entry.part.filter for entry in entries)
            stale.update(entries[place] for own in member.own for place in index.matching(own.recorded))
        self.members = staying
        for entry in stale:
            self._overlaid.pop(entry, None)
        return left

    def _touched(self, events: Sequence[OwnEvent]) -> set[PartEntry]:
        if not events:
            return set()
        entries = list(self._overlaid)
        index = BoundaryIndex(entry.part.filter for entry in entries)
        return {entries[place] for own in events for place in index.matching(own.recorded)}

    def _number(self, verdicts: Sequence[Verdict]) -> None:
        """Give the recorded events their numbers, and the ranges in which they lie."""
        # Runs of numbers without a gap: the first number, the position of the last event, and the events.
        runs: list[tuple[int, Position, list[OwnEvent]]] = []
        for member, verdict in zip(self.members, verdicts, strict=True):
            if not isinstance(verdict, Receipt) or verdict.duplicate or verdict.first is None:
                continue
            if member.job.is_recorded:
                continue  # nobody has seen its events
            for number, own in enumerate(member.own, verdict.first):
                own.number = number
            if runs and runs[-1][1].number + 1 == verdict.first:
                first, _, events = runs[-1]
                events.extend(member.own)
                runs[-1] = first, verdict.position, events
            else:
                runs.append((verdict.first, verdict.position, list(member.own)))
        for first, last, events in runs:
            own_range = OwnRange(first=first, last=last)
            for own in events:
                own.range = own_range


def _is_new(verdict: Verdict) -> bool:
    return isinstance(verdict, Receipt) and not verdict.duplicate
