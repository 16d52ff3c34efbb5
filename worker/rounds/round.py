"""The round: commands that are decided one on top of another, and recorded by one append."""

import time
from collections.abc import Collection, Mapping, Sequence
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
from eventstore.jsontext import read_back
from handlers.part import Part
from worker.rounds.job import Job
from worker.rounds.overlay import NeedsOwnRound, Overlay
from worker.rounds.own_events import OwnEvent
from worker.rounds.part_entry import PartEntry
from worker.rounds.shared import Shared

__all__ = ["NO_NUMBER", "Member", "Round", "Verdict"]

NO_NUMBER = 2**62
"""Stands for the number of an event that has none yet: no filter's bound on the number excludes it."""

Verdict = Receipt | Exception
"""The store's answer to a member of a round."""

# A round is one statement, which the loop encodes at a stretch and a server refuses above a gigabyte.
_ENOUGH_BYTES = 4_000_000


class Member(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A command of a round, with its decision.

    Attributes:
        job: The command.
        events: The events to record.
        outcome: The outcome in its receipt.
        own: The same events, as later members of the round see them.
    """

    job: Job
    events: Sequence[Event]
    outcome: Outcome
    own: Sequence[OwnEvent]


class Round:
    """Commands of one domain that are decided together.

    Args:
        shared: The objects that are shared within one domain's scheduler.
        previous: The round that is being recorded; this one is decided on top of it. None if there is none.

    Attributes:
        members: The commands that take part, in order.
        overlay: The states that it is decided on.
        refused: The first event of the round in each part that was not recorded, once the round is answered.
    """

    def __init__(self, shared: Shared, previous: "Round | None") -> None:
        self.members: list[Member] = []
        self.refused: dict[PartEntry, RecordedEvent] = {}
        self._refused_before = previous.refused if previous is not None else {}
        self._domain = shared.domain
        self._known = shared.states
        self._own = shared.own
        self._storage = shared.reader.storage
        self.overlay: Overlay = Overlay(shared.states, shared.own, None if previous is None else previous.overlay)
        self._events = 0
        self._bytes = 0
        self._sent_at = 0.0

    @property
    def is_full(self) -> bool:
        """Whether its events and reasons are so long together that further commands belong to the next round."""
        return self._bytes >= _ENOUGH_BYTES

    def states_for(self, job: Job) -> dict[Part[Any], Any]:
        """Return the states of the parts that a command reads, on top of everything decided before it.

        Raises:
            Alone: The command can only be decided with nothing else in progress.
            NotKnown: A part has to be read first.
            Exception: Any error of a view.
        """
        return {entry.part: self.overlay.state(entry) for entry in job.entries}

    def add(
        self, job: Job, events: Sequence[Event], outcome: Outcome, *, recorded_as: Sequence[Event] | None = None
    ) -> None:
        """Add a decision. Its events are read back and folded first, so that an event that cannot be is never recorded.

        Args:
            job: The command.
            events: The events that were decided.
            outcome: The outcome for its receipt.
            recorded_as: The same events with sealed values, as the store gets them; None if no value is sealed.

        Raises:
            Alone: Together with the events before them, they would be too many for one round.
            UnknownEventType, UnreadableEvent: An event cannot be read back: as in ``Domain.recorded``.
            Exception: Any error of a view.
        """
        if self.members and self._events + len(events) > LARGEST_APPEND:
            raise NeedsOwnRound
        own = []
        for event in events:
            recorded = RecordedEvent(
                sequence_number=NO_NUMBER,
                token=0,
                type=event.type,
                payload=read_back(event.payload_text),
                metadata=dict(event.metadata),  # it contains the event's version
                occurred_at=event.occurred_at,
            )
            own.append(OwnEvent(recorded, self._domain.recorded(recorded), len(event.payload_text)))
        if own:
            advanced = self.overlay.advanced(job.entries, own)
            # A command that already has a receipt records nothing, so no other decision may rely on its events.
            if not job.is_recorded:
                self.overlay.add(own, job.entries, advanced)
        self.members.append(Member(job, events if recorded_as is None else recorded_as, outcome, own))
        self._events += len(events)
        self._bytes += sum([each.size for each in own]) + len(outcome.reason or "")

    def prepare(self, late: Collection[Job] = ()) -> list[Job]:
        """Prepare the round to be sent, once no other round is being recorded.

        Args:
            late: The commands that must not be recorded yet.

        Returns:
            The commands that left the round: those in ``late``, those decided on events that were not recorded, those
            that rely on either, and those with a receipt that must wait for another one with a receipt.
        """
        stale = self.overlay.stand_alone()
        late = {*late, *self._apart()}
        # A command that has ended must not be recorded after its end was reported.
        ended = any(member.job.has_ended for member in self.members)
        left = self._part_with(stale, late) if stale or late or ended else []
        # No member relies on one that has a receipt already. Such duplicates go last: earlier in the chain, they would
        # have members refused that have their events in the boundary.
        self.members.sort(key=lambda member: member.job.is_recorded)
        if not self.members:
            # Nothing is in progress any more. Otherwise a command that needs that would wait for ever.
            self._own.settle(self.overlay.last)
        return left

    def appends(self) -> list[Append]:
        """Return the appends of the members, as one chain, to be sent at once."""
        self._sent_at = time.monotonic()
        self.overlay.note_kept()
        boundaries: dict[PartEntry, BoundaryPart] = {}
        return [self._append(member, boundaries) for member in self.members]

    def settle(self, verdicts: Sequence[Verdict]) -> None:
        """Update own events and cached states by the store's answers.

        Args:
            verdicts: The store's answer to each member, in order.
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
        self._note_refused(refused, self.refused)
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
            elif isinstance(verdict, ChainBroken):
                member.job.relied_on = _first(self.refused, member.job)
        self.overlay.hand_over(validators, wrong=self.refused, sent_at=self._sent_at, storage=self._storage)
        # Before the next round is sent: a command there that read the same part would conflict as well.
        for entries, conflict in conflicts:
            # A forgotten subject affects all parts that were read, and the keys by which values are sealed.
            lacking = entries if conflict.event_type == SUBJECT_FORGOTTEN else [entries[conflict.part]]
            self._known.distrust(lacking, conflict.sequence_number)
        for member in self._far_behind(verdicts):
            self._known.distrust(member.job.entries)
        # Not earlier: the states of this round are folded from them.
        self._own.trim()

    def _far_behind(self, verdicts: Sequence[Verdict]) -> list[Member]:
        """Find members refused though none before them was: their parts' cached states are too old to be checked."""
        found = []
        for member, verdict in zip(self.members, verdicts, strict=True):
            if isinstance(verdict, ChainBroken):
                found.append(member)
            elif not _is_new(verdict):
                break  # members after it may rely on it
        return found

    def abandon(self) -> None:
        """Treat every event of the round as refused: it is not known what was recorded."""
        events = [own for member in self.members for own in member.own]
        self._note_refused(events, self.refused)
        self._own.remove(events)
        self._own.settle(self.overlay.last)
        self._own.trim()
        self._known.distrust([*self.overlay, *self._known.touched(own.recorded for own in events)])

    def _apart(self) -> set[Job]:
        """Find the members with a receipt that must wait for another one, whose events their parts contain.

        They were not decided on these events, which should be recorded already. If a failover has lost both receipts by
        then, both are recorded anew.
        """
        found: set[Job] = set()
        touched: set[PartEntry] = set()
        for member in self.members:
            if not member.job.is_recorded:
                continue
            if touched.isdisjoint(member.job.entries):
                touched |= self.overlay.touched(member.own)
            else:
                found.add(member.job)
        return found

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
        """Remove members that are late, read a stale part, or rely on, or follow by key, a removed one; return them."""
        staying: list[Member] = []
        left: list[Job] = []
        late_keys: set[str | None] = set()
        refused = dict(self._refused_before)
        for member in self.members:
            job = member.job
            may_stay = stale.isdisjoint(job.entries) and job not in late and job.affinity_key not in late_keys
            if may_stay and not job.has_ended:
                staying.append(member)
                continue
            left.append(job)
            job.relied_on = _first(refused, job)
            if job.affinity_key is not None and not job.has_ended:
                late_keys.add(job.affinity_key)
            if not job.is_recorded:  # otherwise no state contains its events
                self._own.remove(member.own)
                stale.update(self._note_refused(member.own, refused))
        self.members = staying
        self.overlay.drop(stale)
        return left

    def _note_refused(self, events: Sequence[OwnEvent], refused: dict[PartEntry, RecordedEvent]) -> set[PartEntry]:
        """Note events that are not recorded, and return the parts that contain one of them."""
        touched: set[PartEntry] = set()
        for own in events:
            for entry in self.overlay.touched([own]):
                refused.setdefault(entry, own.recorded)
                touched.add(entry)
        return touched

    def _number(self, verdicts: Sequence[Verdict]) -> None:
        """Set the numbers of the recorded events, and the ranges in which they lie."""
        # By transaction: the first number, the position of the last event, and the events.
        runs: list[tuple[int, Position, list[OwnEvent]]] = []
        for member, verdict in zip(self.members, verdicts, strict=True):
            if not isinstance(verdict, Receipt) or verdict.duplicate or verdict.first is None:
                continue
            if member.job.is_recorded:
                continue  # no state contains its events
            for number, own in enumerate(member.own, verdict.first):
                own.number = number
            # A chain may have been recorded in parts. Events of one transaction have one token.
            if runs and runs[-1][1].token == verdict.position.token:
                first, _, events = runs[-1]
                events.extend(member.own)
                runs[-1] = first, verdict.position, events
            else:
                runs.append((verdict.first, verdict.position, list(member.own)))
        for first, last, events in runs:
            own_range = OwnRange(first=first, last=last)
            for own in events:
                own.range = own_range


def _first(refused: Mapping[PartEntry, RecordedEvent], job: Job) -> RecordedEvent | None:
    return next((refused[entry] for entry in job.entries if entry in refused), None)


def _is_new(verdict: Verdict) -> bool:
    return isinstance(verdict, Receipt) and not verdict.duplicate
