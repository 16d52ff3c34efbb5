"""The scheduler: takes the commands of one domain, and sees each to its answer."""

import asyncio
import logging
from collections.abc import Sequence

from opentelemetry import context as contexts
from opentelemetry import trace

from eventstore import (
    ChainBroken,
    ConcurrencyConflict,
    ConflictError,
    EventStore,
    IdempotencyKeyReused,
    OutcomeUnknown,
    Receipt,
    StoreUnavailable,
    TransientStoreError,
)
from eventstore.counted import counted
from handlers.domain import Domain
from handlers.part_reader import PartReader
from worker.counters import Counters
from worker.master_keys import master_keys
from worker.message import CommandMessage
from worker.placement import Placement
from worker.rounds.active_jobs import ActiveJobs
from worker.rounds.circuit_breaker import DOWN, CircuitBreaker
from worker.rounds.confirmation import Confirmation
from worker.rounds.job import Job
from worker.rounds.job_spans import begin_attempt, end_attempt, note_broken, note_conflict
from worker.rounds.key_order import KeyOrder
from worker.rounds.own_events import OwnEvents
from worker.rounds.part_reads import PartReads
from worker.rounds.part_states import HotPart, PartEntry, PartStates
from worker.rounds.prepared_command import PreparedCommand
from worker.rounds.recording import Recording
from worker.rounds.retries import ConflictRetries
from worker.rounds.rounds import Rounds
from worker.rounds.time_limits import TimeLimits
from worker.rounds.user_code import UserCode
from worker.rounds.watchdog import Watchdog
from worker.settings import Settings
from worker.settlement import Answer

__all__ = ["Scheduler"]

_log = logging.getLogger(__name__)

# After a duplicate was met, so many commands are looked up before they are decided: others may be on record, too.
_LOOKED_UP_AFTER_A_DUPLICATE = 1000
# How often the lock is held in vain for a command before it goes to the retry queue.
_MOST_HOLDS = 3


class Scheduler:
    """Decides the commands of one domain against a store.

    A command is opened, its parts are read if they are not known well enough, and it joins a round, in which it is
    decided and recorded. Every outcome, also "rejected" and "unchanged", is validated on the primary when its receipt
    is written: a decision from a lagging replica or a kept state can neither record nor refuse anything wrongly.

    Args:
        store: Where to read, and to record.
        domain: Whose commands to decide.
        settings: The limits.
        counters: Where attempts and conflicts are counted.
        watchdog: Told whenever a domain's code runs.
        breaker: Keeps everybody from a store that does not answer; several schedulers of a store share one.
        patient: Whether commands wait for a store that does not answer; if not, they fail.
        long_reads: Held while a long history is read; the schedulers of a process share one.
    """

    def __init__(
        self,
        store: EventStore,
        domain: Domain,
        settings: Settings,
        counters: Counters | None = None,
        watchdog: Watchdog | None = None,
        *,
        breaker: CircuitBreaker | None = None,
        patient: bool = True,
        long_reads: asyncio.Lock | None = None,
    ) -> None:
        self._domain = domain
        self._settings = settings
        self._counters = counters if counters is not None else Counters()
        self._watchdog = watchdog if watchdog is not None else Watchdog()
        # An append of nothing, unconditionally, needs all that a command needs of the primary, and leaves nothing.
        self._breaker = breaker if breaker is not None else CircuitBreaker(lambda: store.append(()))
        self._breaker.on_closing(self._resume)
        self._patient = patient
        own = OwnEvents()
        self._states = PartStates(domain, own, settings.worker_cached_states, settings.worker_cached_state_bytes)
        self._reader = PartReader(store, domain, self._states, long_reads=long_reads, master=master_keys(settings))
        recording = Recording()
        self._reads = PartReads(
            store,
            domain_name=domain.name,
            reader=self._reader,
            states=self._states,
            breaker=self._breaker,
            watchdog=self._watchdog,
            counters=self._counters,
            recording=recording,
            most=2 * settings.worker_concurrency,
            patient=patient,
            ready=self._put,
            failed=self._read_failed,
        )
        self._order = KeyOrder(self._put)
        self._rounds = Rounds(
            store,
            domain=domain,
            states=self._states,
            own=own,
            reader=self._reader,
            breaker=self._breaker,
            watchdog=self._watchdog,
            counters=self._counters,
            order=self._order,
            recording=recording,
            most=settings.worker_concurrency,
            patient=patient,
            outcomes=self,
        )
        self._confirmation = Confirmation(
            domain,
            reader=self._reader,
            breaker=self._breaker,
            watchdog=self._watchdog,
            patient=patient,
            outcomes=self,
        )
        self._placement = Placement(domain, self._counters)
        self._retries = ConflictRetries()
        self._active = ActiveJobs(self._states)
        self._limits = TimeLimits(
            self._active,
            self._breaker,
            seconds=settings.worker_handler_timeout,
            outcomes=self,
            silence=self._rounds.silence,
        )
        self._draining = False
        self._looked_up_left = 0

    @property
    def kept_states(self) -> int:
        """How many parts are known."""
        return len(self._states)

    @property
    def domain_name(self) -> str:
        """Whose commands it decides."""
        return self._domain.name

    def take_hottest(self, most: int) -> list[HotPart]:
        """Return the parts that most commands have read: see ``PartStates.take_hottest``."""
        return self._states.take_hottest(most)

    def knows(self, command_type: str) -> bool:
        """Whether the domain has a command of that name."""
        return self._domain.has_command(command_type)

    async def process(self, message: CommandMessage) -> Answer:
        """Find the answer to a command and put it on record.

        A command whose id has an answer already gets that one, and nothing is recorded.

        Raises:
            BadMessage: The body can never become a command of this domain.
            InvalidParts: The domain's own code names parts that it cannot.
            IdempotencyKeyReused: The id has an answer to another command.
            ConflictError: Others were faster, each time.
            HandlerTimedOut: It had no answer within the handler timeout.
            StoreUnavailable: The scheduler was told to end.
            EventStoreError: As the store raises it. Processing the message again is safe.
            Exception: Whatever a handler raises.

        On cancellation the answer may already be on record; processing the message again returns it.
        """
        found: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def ended(_: Job, happened: Answer | Exception | None) -> None:
            if found.done():
                return
            if isinstance(happened, Answer):
                found.set_result(happened)
            else:
                found.set_exception(happened or StoreUnavailable("the worker ends"))

        self.submit(Job(message, ended, context=contexts.get_current(), is_abandoned=found.cancelled))
        return await found

    def submit(self, job: Job) -> None:
        """Take a command; it is told of its end."""
        if self._draining:
            job.end(None)
            return
        self._active.number(job)
        if self._active.joined(job) or not self._open(job):
            return
        if self._looked_up_left:
            self._looked_up_left -= 1
            job.may_be_recorded = True
        self._active.begin(job)
        self._order.hold(job)
        self._limits.watch()
        self._begin(job)

    def doubt_states(self) -> None:
        """Have each part read before it is decided on again: others have recorded what they were asked to meanwhile."""
        self._states.doubt()

    def hold_back_others(self, job: Job) -> None:
        """Have later commands of its key wait for one that is decided elsewhere, until they may pass."""
        self._active.number(job)
        self._order.hold(job)

    def let_others_pass(self, job: Job) -> None:
        """Let commands of its key pass one decided elsewhere, and read what that may have changed. Safe to repeat."""
        self._states.doubt()
        self._order.release(job)

    async def drain(self, deadline: float) -> int:
        """Give back what only waits for its round, and let finish what is being read, recorded, or tried again.

        What follows one of its key that is given back is given back as well, or it would overtake that one.

        Args:
            deadline: How long it may take, in seconds.

        Returns:
            How many commands had been tried and did not finish in time.
        """
        self._draining = True
        returned: set[str | None] = set()
        for job in sorted(self._active, key=lambda each: each.ticket):
            may_finish = (job.is_waiting or job.lost > 0) and job.affinity_key not in returned
            if not job.is_sent and (self._breaker.is_open or not may_finish):
                if job.affinity_key is not None:
                    returned.add(job.affinity_key)
                self._give_back(job)
        try:
            async with asyncio.timeout(deadline):
                await self._active.until_none()
        except TimeoutError:
            _log.warning("%s did not finish within %g s", counted(len(self._active), "command"), deadline)
        return len(self._active)

    async def close(self) -> None:
        """Stop at once. What is being recorded may be on record or not."""
        self._draining = True
        self._limits.close()
        self._retries.close()
        await asyncio.gather(
            self._rounds.close(), self._confirmation.close(), self._reads.close(), self._reader.close()
        )
        for job in self._active:
            self._give_back(job)

    def _open(self, job: Job) -> bool:
        span = trace.get_current_span(job.context).get_span_context()
        try:
            with self._running(job):
                job.prepared = PreparedCommand.open(job.message, self._domain, self._settings, span)
                self._placement.check(job.message.headers, job.prepared.command)
        except Exception as failure:  # noqa: BLE001  the settlement table knows what to do with each
            job.end(failure)
            return False
        return True

    def _begin(self, job: Job, waited: float = 0.0) -> None:
        """Begin an attempt."""
        job.begin(waited)
        # Whoever takes the lock first has all of its parts near the head by then.
        missing = job.entries if self._takes_lock(job) else self._missing(job)
        begin_attempt(job, len(job.entries) - len(missing))
        self._find(job, missing)

    def _takes_lock(self, job: Job) -> bool:
        return job.lost >= self._settings.worker_conflict_attempts

    def _missing(self, job: Job) -> list[PartEntry]:
        return [entry for entry in job.entries if not self._states.is_known(entry)]

    def _find(self, job: Job, missing: Sequence[PartEntry]) -> None:
        look_up = job.may_be_recorded and not job.is_recorded
        if missing or look_up:
            job.may_be_recorded = False
            self._reads.want(job, missing, look_up=look_up)
        else:
            self._put(job)

    def _put(self, job: Job) -> None:
        """Take a command that has all it waited for."""
        if job.is_recorded:
            self._order.release(job)  # its place is that of its receipt
        locked = self._takes_lock(job)
        if not locked or self._order.admits(job):
            self._rounds.put(job, locked=locked)

    # What becomes of a command in its round: see ``Outcomes``.

    def let_go(self, job: Job) -> bool:
        """Let go of a command that has ended, or whose end nobody would hear; say whether it is gone."""
        if job.has_ended:
            return True
        if not job.is_abandoned():
            return False
        self._end_for_others(job, None)
        return True

    def again(self, job: Job) -> None:
        """Have a command decided again that was decided on what did not come about. It spends no attempt."""
        job.is_sent = False
        self._order.hold(job)
        note_broken(job)
        if not self.let_go(job):
            self._find(job, self._missing(job))

    def read_first(self, job: Job) -> None:
        """Have a command's parts read before it is decided."""
        self._find(job, self._missing(job) or job.entries)

    def judged(self, job: Job, verdict: Receipt | Exception) -> None:
        """Take what the store says of a command."""
        match verdict:
            case Receipt():
                self._answer(job, verdict)
            case ChainBroken():
                self.again(job)
            case ConflictError():
                self._lose(job, verdict)
            case _ if self._patient and isinstance(verdict, DOWN):
                if isinstance(verdict, OutcomeUnknown):
                    job.was_sent = job.may_be_recorded = True
                self.again(job)
            case _:
                self.failed(job, verdict)

    def held_in_vain(self, job: Job, error: TransientStoreError) -> None:
        """Take note that the store's lock was not had for a command, or not used in time."""
        if not self._takes_lock(job):
            self.again(job)  # it only came along
            return
        self._order.hold(job)
        job.holds += 1
        if job.holds >= _MOST_HOLDS:
            self.failed(job, error.copy_for_caller())
        else:
            end_attempt(job, error)
            self._retries.rest(job, self._rested)

    def raised(self, job: Job, failure: Exception) -> None:
        """Take what a command's own code raised; it is believed only if it is raised on what is on record, too."""
        if job.parts:
            self._confirmation.begin(job, failure)
        else:
            self.failed(job, failure)

    def failed(self, job: Job, failure: Exception) -> None:
        """End a command that cannot be decided."""
        end_attempt(job, failure)
        self._end_for_others(job, failure)

    def _end_for_others(self, job: Job, happened: Exception | None) -> None:
        """End a command that has no answer. Those that awaited it are decided for themselves."""
        self._retries.stop(job)
        for follower in self._active.end(job, happened):
            self.submit(follower)
        self._order.release(job)

    def _answer(self, job: Job, receipt: Receipt) -> None:
        if receipt.duplicate and not job.was_sent:
            self._looked_up_left = _LOOKED_UP_AFTER_A_DUPLICATE
        for follower in self._active.end(job, Answer(receipt=receipt, attempts=job.attempts)):
            self._answer_follower(job, follower, receipt)
        self._order.release(job)

    def _answer_follower(self, first: Job, follower: Job, receipt: Receipt) -> None:
        """Answer a command that came while another with its id was under way."""
        if not self._open(follower) or follower.prepared is None or first.prepared is None:
            return
        if follower.prepared.digest == first.prepared.digest:
            follower.end(Answer(receipt=receipt.as_duplicate(), attempts=0))
        else:
            follower.end(IdempotencyKeyReused(follower.command_id))

    def _lose(self, job: Job, conflict: ConflictError) -> None:
        """Let a command rest that lost to somebody else's, and try it again."""
        self._order.hold(job)
        self._counters.conflicts += 1
        self._counters.stale_conflicts += job.read_from_replica
        entry = job.entries[conflict.part] if isinstance(conflict, ConcurrencyConflict) else None
        if entry is not None:
            self._states.note_conflict(entry)
        known = entry.kept.position.number if entry is not None and entry.kept is not None else 0
        note_conflict(job, conflict, known)
        end_attempt(job)
        job.lost += 1
        if not self.let_go(job):
            self._retries.rest(job, self._rested)

    def _rested(self, job: Job, rest: float) -> None:
        if not self.let_go(job):
            self._begin(job, rest)

    def _read_failed(self, job: Job, failure: Exception) -> None:
        if isinstance(failure, ConflictError):
            self._lose(job, failure)
        else:
            self.failed(job, failure)

    def _give_back(self, job: Job) -> None:
        self._retries.stop(job)
        self._active.give_back(job)
        self._order.release(job)

    def _resume(self) -> None:
        # After a pause: no command could use its time.
        self._active.restart_time()
        self._rounds.wake()

    def _running(self, job: Job) -> UserCode:
        return UserCode(self._watchdog, job.message.command_type, job.context)
