"""The round: commands that are decided one on top of another, and recorded by one append."""

import time
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from eventstore import (
    SUBJECT_FORGOTTEN,
    Append,
    BoundaryPart,
    ChainBroken,
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
from eventstore.jsontext import decode_object
from handlers.part import Part
from worker.rounds.job import Job
from worker.rounds.overlay import Alone, Overlay
from worker.rounds.own_events import OwnEvent
from worker.rounds.part_entry import PartEntry
from worker.rounds.shared import Shared

__all__ = ["NO_NUMBER", "Member", "Round", "Verdict"]

NO_NUMBER = 2**62
"""Stands for the number of an event that has none yet: no bound on the number leaves it out."""

Verdict = Receipt | Exception
"""What became of a member."""


class Member(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A command of a round, with what was decided.

    Attributes:
        job: The command.
        events: What is to be recorded.
        outcome: What its receipt will say.
        own: The same events, as later members see them.
    """

    job: Job
    events: Sequence[Event]
    outcome: Outcome
    own: Sequence[OwnEvent]


class Round:
    """Commands of one domain that are decided together.

    Args:
        shared: What it shares with the others.
        previous: The round that is being recorded meanwhile; this one is decided on top of it.

    Attributes:
        members: Who takes part, in order.
        overlay: The states that it is decided on.
    """

    def __init__(self, shared: Shared, previous: "Round | None") -> None:
        self.members: list[Member] = []
        self._domain = shared.domain
        self._known = shared.states
        self._own = shared.own
        self._storage = shared.reader.storage
        self.overlay: Overlay = Overlay(shared.states, shared.own, None if previous is None else previous.overlay)
        self._events = 0
        self._sent_at = 0.0

    def states_for(self, job: Job) -> dict[Part[Any], Any]:
        """Return the states of what a command reads, on top of everything decided before it.

        Raises:
            Alone: It can only be decided with nothing under way.
            NotKnown: A part has to be read before.
            Exception: Whatever a view raises.
        """
        return {entry.part: self.overlay.state(entry) for entry in job.entries}

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
        if own:
            advanced = self.overlay.advanced(job.entries, own)
            # A command that has its answer already records nothing: nobody relies on it.
            if not job.is_recorded:
                self.overlay.add(own, job.entries, advanced)
        self.members.append(Member(job, events if recorded_as is None else recorded_as, outcome, own))
        self._events += len(events)

    def prepare(self, late: Collection[Job] = ()) -> list[Job]:
        """Make ready to be sent, when nothing else is being recorded any more.

        Args:
            late: Who must not be recorded yet.

        Returns:
            Those, and who was decided on what did not come about, or relies on one of these. They have left.
        """
        stale = self.overlay.stand_alone()
        # Who has been told of its end meanwhile must not be recorded after that.
        ended = any(member.job.has_ended for member in self.members)
        left = self._part_with(stale, late) if stale or late or ended else []
        # Nobody relies on them, and those who rely on each other are last to be judged.
        self.members.sort(key=lambda member: member.job.is_recorded)
        if not self.members:
            # Nothing is under way any more. Who can only be decided then would wait for ever.
            self._own.settle(self.overlay.last)
        return left

    def appends(self) -> list[Append]:
        """Return what is to be recorded, as one chain, to be sent at once."""
        self._sent_at = time.monotonic()
        self.overlay.note_kept()
        boundaries: dict[PartEntry, BoundaryPart] = {}
        return [self._append(member, boundaries) for member in self.members]

    def settle(self, verdicts: Sequence[Verdict]) -> None:
        """Take note of what was recorded, and of what was not.

        Args:
            verdicts: What became of each member.
        """
        self._number(verdicts)
        refused = [
            own
            for member, verdict in zip(self.members, verdicts, strict=True)
            if _is_new(verdict) == member.job.is_recorded
            for own in member.own
        ]
        self._own.remove(refused)
        self._own.settle(self.overlay.last)
        wrong = self.overlay.touched(refused)
        validators: dict[PartEntry, Receipt] = {}
        conflicts: list[tuple[Sequence[PartEntry], ConcurrencyConflict]] = []
        for member, verdict in zip(self.members, verdicts, strict=True):
            if isinstance(verdict, Receipt):
                if not verdict.duplicate:
                    self._known.note_head(verdict.position.number)
                    for entry in member.job.entries:
                        validators[entry] = verdict
            elif isinstance(verdict, HistoryDiverged):
                self._known.forget()
                return
            elif isinstance(verdict, ConcurrencyConflict):
                conflicts.append((member.job.entries, verdict))
        self.overlay.hand_over(validators, wrong=wrong, sent_at=self._sent_at, storage=self._storage)
        # Before the next round is sent: who read the same part there would lose as well.
        for entries, conflict in conflicts:
            # What forgets a subject concerns all that was read of it, and what seals for it.
            lacking = entries if conflict.event_type == SUBJECT_FORGOTTEN else [entries[conflict.part]]
            self._known.distrust(lacking, conflict.sequence_number)
        for member in self._far_behind(verdicts):
            self._known.distrust(member.job.entries)
        # Not before: the states of this round are made of them.
        self._own.trim()

    def _far_behind(self, verdicts: Sequence[Verdict]) -> list[Member]:
        """Find who was refused for nobody's sake: what is known of their parts lies too far behind to be judged."""
        found = []
        for member, verdict in zip(self.members, verdicts, strict=True):
            if isinstance(verdict, ChainBroken):
                found.append(member)
            elif not _is_new(verdict):
                break  # those behind it may have relied on it
        return found

    def abandon(self) -> None:
        """Take note that nobody knows what was recorded: everything decided here counts as refused."""
        events = [own for member in self.members for own in member.own]
        self._own.remove(events)
        self._own.settle(self.overlay.last)
        self._own.trim()
        self._known.distrust([*self.overlay, *self._known.touched(own.recorded for own in events)])

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
            stale.update(self.overlay.touched(member.own))
        self.members = staying
        self.overlay.drop(stale)
        return left

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
