"""The scheduler: takes the commands of one domain and finds the answer to each."""

import asyncio
import logging
from collections.abc import Iterable

from opentelemetry import context as contexts
from opentelemetry import trace

from eventstore import EventStore, IdempotencyKeyReused, Receipt, StoreUnavailable
from eventstore.counted import counted
from handlers.domain import Domain
from handlers.part_reader import PartReader
from worker.counters import Counters
from worker.master_keys import master_keys
from worker.message import CommandMessage
from worker.placement import Placement
from worker.rounds.active_jobs import ActiveJobs
from worker.rounds.attempts import Attempts
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.hot_parts import HotPart
from worker.rounds.job import Job
from worker.rounds.own_events import OwnEvents
from worker.rounds.part_states import PartStates
from worker.rounds.prepared_command import PreparedCommand
from worker.rounds.shared import Shared
from worker.rounds.time_limits import TimeLimits
from worker.rounds.user_code import UserCode
from worker.rounds.watchdog import Watchdog
from worker.settings import Settings
from worker.settlement import Answer

__all__ = ["Scheduler"]

_log = logging.getLogger(__name__)

# How many commands are looked up before they are decided, after a duplicate was met: they may be recorded, too.
_LOOKED_UP_AFTER_A_DUPLICATE = 1000


class Scheduler:
    """Decides the commands of one domain against an event store.

    A command is parsed, its parts are read if their cached states are too old, and it joins a round, in which it is
    decided and recorded. Every outcome, also "rejected" and "unchanged", is checked on the primary when its receipt is
    written: a decision from a lagging replica or a cached state can neither record nor refuse anything wrongly.

    Args:
        store: The event store that is read and appended to.
        domain: The domain whose commands are decided.
        settings: The worker's settings: limits, timeouts, size of the cache.
        counters: Counts attempts, reads and conflicts; new ones by default.
        watchdog: Notified whenever the domain's code runs; a new one by default.
        breaker: Keeps commands from a store that does not answer. The schedulers of one store share one; a new one by
            default.
        is_patient: Whether commands wait for a store that does not answer; used only if no breaker is given.
        long_reads: Lock that is held while a long history is read. The schedulers of a process share one.
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
        is_patient: bool = True,
        long_reads: asyncio.Lock | None = None,
    ) -> None:
        self._domain = domain
        self._settings = settings
        counters = counters if counters is not None else Counters()
        self._watchdog = watchdog if watchdog is not None else Watchdog()
        if breaker is None:
            # An append of nothing, unconditionally, needs all that a command needs of the primary, and leaves nothing.
            breaker = CircuitBreaker(lambda: store.append(()), is_patient=is_patient)
        breaker.on_closing(self._resume)
        self._breaker = breaker
        own = OwnEvents()
        self._states = PartStates(own, settings.worker_cached_states, settings.worker_cached_state_bytes)
        self._reader = PartReader(store, domain, self._states, long_reads=long_reads, master=master_keys(settings))
        shared = Shared(
            store=store,
            domain=domain,
            settings=settings,
            states=self._states,
            own=own,
            reader=self._reader,
            breaker=breaker,
            watchdog=self._watchdog,
            counters=counters,
        )
        self._attempts = Attempts(shared, ended=self._ended)
        self._placement = Placement(domain, counters)
        self._active = ActiveJobs(self._states)
        self._limits = TimeLimits(
            self._active,
            breaker,
            seconds=settings.worker_handler_timeout,
            outcomes=self._attempts,
            silence=self._attempts.recorder.silence,
            forget_ended=self._attempts.forget_ended,
        )
        self._draining = False
        self._looked_up_left = 0

    @property
    def kept_states(self) -> int:
        """How many parts have a cache entry."""
        return len(self._states)

    @property
    def domain_name(self) -> str:
        """Name of the domain."""
        return self._domain.name

    def take_hottest(self, most: int) -> list[HotPart]:
        """Return the parts that most commands have read: see ``HotParts.take``."""
        return self._states.hot.take(most)

    def knows(self, command_type: str) -> bool:
        """Whether the domain has a command with that name."""
        return self._domain.has_command(command_type)

    async def process(self, message: CommandMessage) -> Answer:
        """Decide a command and record its answer.

        If the command's id has an answer already, that one is returned and nothing is recorded.

        Raises:
            BadMessage: The body can never become a command of this domain.
            InvalidParts: The domain's code names invalid parts.
            IdempotencyKeyReused: The id has an answer to another command.
            ConflictError: Every attempt conflicted with another writer.
            HandlerTimedOut: There was no answer within the handler timeout.
            StoreUnavailable: The scheduler drains or was closed; or the store does not answer, and commands do not wait
                for it.
            EventStoreError: Any other error of the store. Processing the message again is safe.
            Exception: Any error of a handler.

        On cancellation the answer may already be recorded; processing the message again returns it.
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
        """Add a command; its ``ended`` is called when it ends."""
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
        self._attempts.order.hold(job)
        self._limits.watch()
        self._attempts.begin(job)

    def doubt_states(self) -> None:
        """Have each part read before it is decided on again: another process may have recorded events since."""
        self._states.doubt()

    def hold_back_others(self, job: Job) -> None:
        """Make later commands of its key wait for a command that is decided elsewhere, until ``let_others_pass``."""
        self._active.number(job)
        self._attempts.order.hold(job)

    def let_others_pass(self, job: Job) -> None:
        """Let later commands of its key pass, and read again what may have changed. Safe to repeat."""
        self._states.doubt()
        self._attempts.order.release(job)

    async def drain(self, deadline: float, returned_keys: Iterable[str] = ()) -> int:
        """Give back commands that only wait for a round; let those finish that are read, recorded or tried again.

        A later command of the same key as one that is given back is given back as well: it must not overtake it.

        Args:
            deadline: How long it may take, in seconds.
            returned_keys: The affinity keys of commands that are decided elsewhere, and are given back there.

        Returns:
            How many commands had been tried and did not finish in time.
        """
        self._draining = True
        returned: set[str | None] = {*returned_keys}
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
        """Stop at once. A round that is being recorded may or may not be on record."""
        self._draining = True
        self._limits.close()
        await asyncio.gather(self._attempts.close(), self._reader.close())
        for job in self._active:
            self._give_back(job)

    def _open(self, job: Job) -> bool:
        span = trace.get_current_span(job.context).get_span_context()
        try:
            with UserCode(self._watchdog, job.message.command_type, job.context):
                job.prepared = PreparedCommand.open(job.message, self._domain, self._settings, span)
                self._placement.check(job.message.headers, job.prepared.command)
        except Exception as failure:  # noqa: BLE001  the settlement table knows what to do with each
            job.end(failure)
            return False
        return True

    def _ended(self, job: Job, happened: Receipt | Exception | None) -> None:
        if isinstance(happened, Receipt):
            self._answer(job, happened)
            return
        # Commands that waited for its answer are decided on their own.
        for follower in self._active.end(job, happened):
            self.submit(follower)

    def _answer(self, job: Job, receipt: Receipt) -> None:
        if receipt.duplicate and not job.was_sent:
            self._looked_up_left = _LOOKED_UP_AFTER_A_DUPLICATE
        for follower in self._active.end(job, Answer(receipt=receipt, attempts=job.attempts)):
            self._answer_follower(job, follower, receipt)

    def _answer_follower(self, first: Job, follower: Job, receipt: Receipt) -> None:
        """Answer a command that came while another with its id was in progress."""
        if not self._open(follower) or follower.prepared is None or first.prepared is None:
            return
        if follower.prepared.digest == first.prepared.digest:
            follower.end(Answer(receipt=receipt.as_duplicate(), attempts=0))
        else:
            follower.end(IdempotencyKeyReused(follower.command_id))

    def _give_back(self, job: Job) -> None:
        self._active.give_back(job)
        self._attempts.withdraw(job)

    def _resume(self) -> None:
        # After a pause: no command could use its handler timeout.
        self._active.restart_time()
        self._attempts.wake()
