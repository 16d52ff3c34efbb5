"""The attempts: a command's parts are read, it is decided in a round, and tried again after a conflict."""

import asyncio
from collections.abc import Callable, Sequence

from eventstore import (
    ChainBroken,
    ConcurrencyConflict,
    ConflictError,
    OutcomeUnknown,
    Receipt,
    TransientStoreError,
)
from worker.rounds.circuit_breaker import DOWN
from worker.rounds.confirmation import Confirmation
from worker.rounds.job import Job
from worker.rounds.job_spans import begin_attempt, end_attempt, note_broken, note_conflict
from worker.rounds.key_order import KeyOrder
from worker.rounds.part_entry import PartEntry
from worker.rounds.part_reads import PartReads
from worker.rounds.receipt_lookups import ReceiptLookups
from worker.rounds.recorder import Recorder
from worker.rounds.recording import Recording
from worker.rounds.retries import ConflictRetries
from worker.rounds.rounds import Rounds
from worker.rounds.shared import Shared

__all__ = ["Attempts"]

# How often a command may fail to use the store's lock before it goes to the retry queue.
_MOST_HOLDS = 3


class Attempts:
    """Makes attempts at the commands of one domain. These are the ``Outcomes`` of its rounds.

    Args:
        shared: The objects that are shared within one domain's scheduler.
        ended: Called once with each command that has ended, and its receipt, the error that prevented one, or None if
            its caller no longer waits.

    Attributes:
        order: Holds back commands that would overtake an earlier one with the same affinity key.
        recorder: Sends the rounds to the store.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        ended: Callable[[Job, Receipt | Exception | None], None],
    ) -> None:
        self._states = shared.states
        self._breaker = shared.breaker
        self._counters = shared.counters
        self._ended = ended
        self._most_lost = shared.settings.worker_conflict_attempts
        self._retries = ConflictRetries()
        self.order = KeyOrder(self._put)
        recording = Recording()
        self._reads = PartReads(shared, recording=recording, ready=self._put, failed=self._read_failed)
        self._lookups = ReceiptLookups(shared, recording=recording, done=self._reads.pass_on, failed=self._reads.fail)
        self.recorder = Recorder(shared, order=self.order, recording=recording, outcomes=self, free=self.wake)
        self._rounds = Rounds(shared, order=self.order, recorder=self.recorder, outcomes=self)
        self._confirmation = Confirmation(shared, outcomes=self)

    def wake(self) -> None:
        """Have the rounds check again for work."""
        self._rounds.wake()

    def forget_ended(self) -> None:
        """Wait with none any more that has ended: while the store does not answer, nothing else would let it go."""
        self._rounds.forget_ended()
        self._reads.forget_ended()
        self._lookups.forget_ended()

    async def close(self) -> None:
        """Stop at once. A round that is being recorded may or may not be on record."""
        self._retries.close()
        await asyncio.gather(
            self._rounds.close(),
            self.recorder.close(),
            self._confirmation.close(),
            self._reads.close(),
            self._lookups.close(),
        )

    def withdraw(self, job: Job) -> None:
        """Stop retrying a command that has been given back, and release its affinity key."""
        self._retries.stop(job)
        self.order.release(job)

    def begin(self, job: Job, waited: float = 0.0) -> None:
        """Begin an attempt.

        Args:
            job: The command.
            waited: How long the command rested before this attempt, in seconds.
        """
        job.begin(waited)
        # The first command to take the lock has then all of its parts near the head.
        missing = job.entries if self._takes_lock(job) else self._missing(job)
        begin_attempt(job, len(job.entries) - len(missing))
        self._find(job, missing)

    def _takes_lock(self, job: Job) -> bool:
        return job.lost >= self._most_lost

    def _missing(self, job: Job) -> list[PartEntry]:
        return [entry for entry in job.entries if not self._states.is_known(entry)]

    def _find(self, job: Job, missing: Sequence[PartEntry]) -> None:
        look_up = job.may_be_recorded and not job.is_recorded
        if look_up:
            self._lookups.want(job)
        if missing:
            self._reads.want(job, missing)
        if missing or look_up:
            job.may_be_recorded = False
        else:
            self._put(job)

    def _put(self, job: Job) -> None:
        """Pass on a command that waits for no read: to a round, or to the lock if it has lost too often."""
        if job.is_recorded:
            self.order.release(job)  # its place in the order is that of its receipt
        locked = self._takes_lock(job)
        if not locked or self.order.admits(job):
            self._rounds.put(job, locked=locked)

    def let_go(self, job: Job) -> bool:
        """Return whether a command has ended; end it first, without an answer, if its caller no longer waits."""
        if job.has_ended:
            return True
        if not job.is_abandoned():
            return False
        self._end(job, None)
        return True

    def again(self, job: Job) -> None:
        """Have a command decided again after a state it was decided on was not recorded. This spends no attempt."""
        job.is_sent = False
        self.order.hold(job)
        note_broken(job)
        if not self.let_go(job):
            self._find(job, self._missing(job))

    def read_first(self, job: Job) -> None:
        """Have the parts of a command read before it is decided; all of them if none is missing."""
        self._find(job, self._missing(job) or job.entries)

    def judged(self, job: Job, verdict: Receipt | Exception) -> None:
        """Handle the store's answer to a command: end it, decide it again, or retry it."""
        match verdict:
            case Receipt():
                self._end(job, verdict)
            case ChainBroken():
                self.again(job)
            case ConflictError():
                self._lose(job, verdict)
            case _ if self._breaker.is_patient and isinstance(verdict, DOWN):
                if isinstance(verdict, OutcomeUnknown):
                    job.was_sent = job.may_be_recorded = True
                self.again(job)
            case _:
                self.failed(job, verdict)

    def held_in_vain(self, job: Job, error: TransientStoreError) -> None:
        """Note that the lock was not acquired for a command, or not used in time.

        A command that only shared the lock is decided again. The one that needed it rests, and fails after three times.
        """
        if not self._takes_lock(job):
            self.again(job)  # it only shared the lock
            return
        self.order.hold(job)
        job.holds += 1
        if job.holds >= _MOST_HOLDS:
            self.failed(job, error.copy_for_caller())
        else:
            end_attempt(job, error)
            self._retries.rest(job, self._rested)

    def raised(self, job: Job, failure: Exception) -> None:
        """Handle an error of the domain's code: it counts only if it occurs on recorded events, too."""
        if job.parts:
            self._confirmation.begin(job, failure)
        else:
            self.failed(job, failure)

    def failed(self, job: Job, failure: Exception) -> None:
        """End a command that cannot be decided, with its error."""
        end_attempt(job, failure)
        self._end(job, failure)

    def _end(self, job: Job, happened: Receipt | Exception | None) -> None:
        self._retries.stop(job)
        self._ended(job, happened)
        self.order.release(job)

    def _lose(self, job: Job, conflict: ConflictError) -> None:
        """Count a conflict, let the command rest, and try it again."""
        self.order.hold(job)
        self._counters.conflicts += 1
        self._counters.stale_conflicts += job.read_from_replica
        entry = job.entries[conflict.part] if isinstance(conflict, ConcurrencyConflict) else None
        if entry is not None:
            self._states.hot.note_conflict(entry)
        known = entry.kept.position.number if entry is not None and entry.kept is not None else 0
        note_conflict(job, conflict, known)
        end_attempt(job)
        job.lost += 1
        if not self.let_go(job):
            self._retries.rest(job, self._rested)

    def _rested(self, job: Job, rest: float) -> None:
        if not self.let_go(job):
            self.begin(job, rest)

    def _read_failed(self, job: Job, failure: Exception) -> None:
        if isinstance(failure, ConflictError):
            self._lose(job, failure)
        else:
            self.failed(job, failure)
