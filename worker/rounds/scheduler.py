"""The scheduler: the way of the commands of one domain, round after round."""

import asyncio
import heapq
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import replace
from typing import Any
from uuid import UUID

from opentelemetry import context as contexts
from opentelemetry import trace

from eventstore import (
    LONGEST_CHAIN,
    Append,
    ChainBroken,
    ConflictError,
    Consistency,
    EventStore,
    EventStoreError,
    IdempotencyKeyReused,
    OutcomeUnknown,
    Receipt,
    StoreMisconfigured,
    StoreUnavailable,
    TransientStoreError,
)
from handlers.domain import Domain
from handlers.part import Part
from handlers.part_reader import PartReader
from worker.counters import Counters
from worker.errors import HandlerTimedOut
from worker.message import CommandMessage
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.job import Job
from worker.rounds.job_spans import begin_attempt, decide_span, end_attempt, note_broken, note_conflict
from worker.rounds.own_events import OwnEvents
from worker.rounds.part_reads import PartReads
from worker.rounds.part_states import PartStates
from worker.rounds.prepared_command import PreparedCommand
from worker.rounds.retries import ConflictRetries
from worker.rounds.round import Alone, NotKnown, Round, Verdict
from worker.rounds.user_code import UserCode
from worker.rounds.watchdog import Watchdog
from worker.settings import Settings
from worker.settlement import Answer
from worker.telemetry.spans import mark_failed

__all__ = ["Scheduler"]

_log = logging.getLogger(__name__)

# For so long commands are decided without a pause: others on the loop wait.
_BREATH_SECONDS = 0.005
# After so long a round is sent with whom it has, if nothing keeps it from being sent.
_LONGEST_DECIDING = 0.02
_TICK_SECONDS = 1.0
# After a duplicate was met, so many commands are looked up before they are decided: others may be on record, too.
_LOOKED_UP_AFTER_A_DUPLICATE = 1000
# How often a command is decided under the lock in vain before it goes to the retry queue.
_MOST_HOLDS = 3
_DOWN = (StoreUnavailable, StoreMisconfigured, OutcomeUnknown)


class Scheduler:
    """Decides the commands of one domain against a store.

    Whatever waits is one round: the commands are decided in the order in which they came, each on top of those before
    it, and recorded by one append. While one round is being recorded, the next is decided on top of it. Every outcome,
    also "rejected" and "unchanged", is validated on the primary when its receipt is written: a decision from a lagging
    replica or a kept state can neither record nor refuse anything wrongly.

    Args:
        store: Where to read, and to record.
        domain: Whose commands to decide.
        settings: The limits.
        counters: Where attempts and conflicts are counted.
        watchdog: Told whenever a domain's code runs.
        breaker: Keeps everybody from a store that does not answer; several schedulers of a store share one.
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
        long_reads: asyncio.Lock | None = None,
    ) -> None:
        self._store = store
        self._domain = domain
        self._settings = settings
        self._counters = counters if counters is not None else Counters()
        self._watchdog = watchdog if watchdog is not None else Watchdog()
        # An append of nothing, unconditionally, needs all that a command needs of the primary, and leaves nothing.
        self._breaker = breaker if breaker is not None else CircuitBreaker(lambda: store.append(()))
        self._breaker.on_closing(self._resume)
        self._own = OwnEvents()
        self._states = PartStates(domain, self._own, settings.worker_cached_states, settings.worker_cached_state_bytes)
        self._reader = PartReader(store, domain, self._states, long_reads=long_reads)
        self._reads = PartReads(
            store,
            domain_name=domain.name,
            reader=self._reader,
            states=self._states,
            breaker=self._breaker,
            watchdog=self._watchdog,
            counters=self._counters,
            most=2 * settings.worker_concurrency,
            ready=self._put,
            failed=self._read_failed,
        )
        self._retries = ConflictRetries()
        self._most = min(settings.worker_concurrency, LONGEST_CHAIN)
        self._tickets = 0
        self._active: dict[UUID, Job] = {}
        self._ready: list[Job] = []
        self._alone: deque[Job] = deque()
        # Who has lost so often that luck is no help.
        self._escalated: list[Job] = []
        self._recording: Round | None = None
        self._recorder: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._looked_up_left = 0
        self._runner: asyncio.Task[None] | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._resting: dict[Job, asyncio.TimerHandle] = {}

    @property
    def kept_states(self) -> int:
        """How many parts are known."""
        return len(self._states)

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
        first = self._active.get(job.command_id)
        if first is not None:
            # Decided at the same time, one of them would break the round of the other.
            first.followers = [each for each in first.followers if not each.is_abandoned()]
            first.followers.append(job)
            return
        if not self._open(job):
            return
        self._tickets += 1
        job.ticket = self._tickets
        job.started_at = time.monotonic()
        if self._looked_up_left:
            self._looked_up_left -= 1
            job.may_be_recorded = True
        self._active[job.command_id] = job
        self._idle.clear()
        self._states.use(job.parts)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name=f"rounds of {self._domain.name}", context=Context())
            self._tick()
        self._begin(job)

    async def drain(self, deadline: float) -> int:
        """Give back what has not been tried, and let what has finish.

        Args:
            deadline: How long it may take, in seconds.

        Returns:
            How many commands had been tried and did not finish in time.
        """
        self._draining = True
        for job in [*self._active.values()]:
            if not job.is_sent and (not job.lost or self._breaker.is_open):
                self._give_back(job)
        try:
            async with asyncio.timeout(deadline):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("%d commands did not finish within %g s", len(self._active), deadline)
        return len(self._active)

    async def close(self) -> None:
        """Stop at once. What is being recorded may be on record or not."""
        self._draining = True
        if self._ticker is not None:
            self._ticker.cancel()
        for timer in self._resting.values():
            timer.cancel()
        tasks = [task for task in (self._runner, self._recorder) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._reads.close(), self._reader.close(), return_exceptions=True)
        for job in [*self._active.values()]:
            self._give_back(job)

    # The way of a command: opened, read, decided, recorded, ended.

    def _open(self, job: Job) -> bool:
        span = trace.get_current_span(job.context).get_span_context()
        try:
            with self._running(job):
                job.prepared = PreparedCommand.open(job.message, self._domain, self._settings, span)
        except Exception as failure:  # noqa: BLE001  the settlement table knows what to do with each
            job.end(failure)
            return False
        return True

    def _begin(self, job: Job, waited: float = 0.0) -> None:
        """Begin an attempt."""
        job.begin(waited)
        # Who takes the lock first has all of its parts near the head by then.
        escalated = job.lost >= self._settings.worker_conflict_attempts
        missing = [part for part in job.parts if escalated or not self._states.is_known(part)]
        begin_attempt(job, len(job.parts) - len(missing))
        self._find(job, missing)

    def _find(self, job: Job, missing: Sequence[Part[Any]]) -> None:
        look_up = job.may_be_recorded and not job.is_recorded
        if missing or look_up:
            job.may_be_recorded = False
            self._reads.want(job, missing, look_up=look_up)
        else:
            self._put(job)

    def _put(self, job: Job) -> None:
        """Take a command that has all it waited for."""
        if job.confirms:
            self._alone.append(job)
        elif job.lost < self._settings.worker_conflict_attempts:
            heapq.heappush(self._ready, job)
        else:
            self._escalated.append(job)
        self._news.set()

    def _again(self, job: Job) -> None:
        """Decide a command again that was decided on what did not come about. It spends no attempt."""
        job.is_sent = False
        note_broken(job)
        if self._drop(job):
            return
        self._find(job, [part for part in job.parts if not self._states.is_known(part)])

    async def _run(self) -> None:
        while True:
            await self._something()
            era = await self._breaker.closed()
            while (self._alone or self._escalated) and self._recording is not None:
                self._news.clear()
                await self._news.wait()
            if self._escalated:
                await self._escalate(era)
                continue
            round_ = Round(self._domain, self._states, self._own, self._recording)
            try:
                if self._alone:
                    self._decide(round_, self._alone.popleft())
                else:
                    await self._fill(round_)
                self._send(round_, era)
            except Exception as bug:  # noqa: BLE001  the rounds go on, whatever became of this one
                _log.exception("a round of %s failed", self._domain.name)
                round_.abandon()
                for member in round_.members:
                    self._fail(member.job, bug)

    def _send(self, round_: Round, era: int) -> None:
        """Have a round recorded, in the same turn of the loop in which it is made ready."""
        for job in round_.prepare():
            self._again(job)
        if not round_.members:
            return
        if self._breaker.is_open:
            round_.abandon()
            for member in round_.members:
                self._again(member.job)
            return
        appends = round_.appends()
        for member in round_.members:
            member.job.is_sent = True
        self._recording = round_
        self._recorder = asyncio.create_task(self._record(round_, appends, era), context=Context())

    async def _something(self) -> None:
        while not self._ready and not self._alone and not self._escalated:
            self._news.clear()
            await self._news.wait()

    async def _fill(self, round_: Round) -> None:
        """Decide what is ready, until the round can be sent."""
        most = self._breaker.room(self._most)
        began = breath = time.monotonic()
        while True:
            while self._ready and len(round_.members) < most:
                self._decide(round_, heapq.heappop(self._ready))
                now = time.monotonic()
                if now - breath > _BREATH_SECONDS:
                    await asyncio.sleep(0)
                    breath = time.monotonic()
                if self._recording is None and now - began > _LONGEST_DECIDING:
                    return
            if self._recording is None:
                return
            self._news.clear()
            await self._news.wait()

    def _decide(self, round_: Round, job: Job) -> None:
        if self._drop(job) or job.prepared is None:
            return
        prepared = job.prepared
        self._counters.attempts += 1
        span = decide_span(job)
        context = trace.set_span_in_context(span, job.context) if span.is_recording() else job.context
        try:
            with UserCode(self._watchdog, job.message.command_type, context):
                decision = self._domain.decide(prepared.command, prepared.reads, round_.states_for(job))
                events, outcome = prepared.to_record(decision, self._domain, job.attempts)
                round_.add(job, events, outcome)
        except Alone:
            self._alone.append(job)
        except NotKnown:
            self._find(job, [part for part in job.parts if not self._states.is_known(part)] or job.parts)
        except Exception as failure:  # noqa: BLE001  the settlement table knows what to do with each
            if span.is_recording():
                span.record_exception(failure)
                mark_failed(span, type(failure).__name__, str(failure))
            if job.confirms or not job.parts:
                self._fail(job, failure)
            else:
                self._confirm(job)
        else:
            if span.is_recording():
                span.set_attribute("command.decision", type(decision).__name__.lower())
        finally:
            span.end()

    def _confirm(self, job: Job) -> None:
        """Decide a command once more whose code has failed: from the primary, and with nothing under way.

        No append validates a failure. It may be that of a state that never comes about, that lacks what others have
        recorded, or that puts together parts of two times; kept, it would fail the command each time.
        """
        job.confirms = True
        self._reads.want(job, job.parts)

    async def _escalate(self, era: int) -> None:
        """Decide under the store's lock who has lost too often, and all who wait for the same parts.

        Nothing else of ours is decided or recorded meanwhile.
        """
        jobs = self._company()
        if not jobs:
            return
        parts = list(dict.fromkeys(part for job in jobs for part in job.parts))
        command = jobs[0].message.command_type
        round_ = Round(self._domain, self._states, self._own, None)
        try:
            async with self._store.exclusive() as held:
                self._counters.holds += 1
                # They were brought up to date before: while the lock is held, everybody waits.
                seen = await self._reader.glance(
                    parts,
                    consistency=Consistency.STRONG,
                    running=lambda: UserCode(self._watchdog, command),
                    held=held,
                )
                for job in jobs:
                    failure = next((seen.failures[part] for part in job.parts if part in seen.failures), None)
                    if failure is not None:
                        self._fail(job, failure)
                    else:
                        self._decide(round_, job)
                left = round_.prepare()
                appends = round_.appends()
                for member in round_.members:
                    member.job.is_sent = True
                verdicts = await held.append_chain(appends) if appends else []
        except TransientStoreError as error:
            self._hold_failed(round_, jobs, error)
        except _DOWN as error:
            self._breaker.open(error, era)
            self._hold_failed(round_, jobs, None, unknown=isinstance(error, OutcomeUnknown))
        except Exception as failure:  # noqa: BLE001  the settlement table knows what to do with each
            round_.abandon()
            for job in jobs:
                job.is_sent = False
                if not (job.has_ended or job.is_waiting or job in self._alone):
                    self._read_failed(job, failure)
        else:
            for job in left:
                self._again(job)
            if round_.members:
                self._settle(round_, verdicts)
                self._judge_all(round_, verdicts)

    def _company(self) -> list[Job]:
        """Take who has lost too often, and those who are ready and read one of the same parts."""
        jobs = [job for job in self._escalated if not self._drop(job)]
        self._escalated = jobs[self._most :]
        jobs = jobs[: self._most]
        parts = {part for job in jobs for part in job.parts}
        staying = []
        for job in self._ready:
            if len(jobs) < self._most and not parts.isdisjoint(job.parts):
                jobs.append(job)
            else:
                staying.append(job)
        heapq.heapify(staying)
        self._ready = staying
        return sorted(jobs)

    def _hold_failed(
        self, round_: Round, jobs: Sequence[Job], error: TransientStoreError | None, *, unknown: bool = False
    ) -> None:
        """Let everybody go on after a hold in vain; who had it three times rests in the retry queue.

        Args:
            round_: What was decided under the lock.
            jobs: Whose.
            error: Why it was in vain; None if that is nobody's fault.
            unknown: Whether it may be on record all the same.
        """
        round_.abandon()
        for job in jobs:
            job.is_sent = False
            if unknown:
                job.was_sent = job.may_be_recorded = True
            if job.has_ended or job.is_waiting or job in self._alone:
                continue
            if error is None or job.lost < self._settings.worker_conflict_attempts:
                self._again(job)
                continue
            job.holds += 1
            if job.holds >= _MOST_HOLDS:
                self._fail(job, error.copy_for_caller())
            else:
                end_attempt(job, error)
                self._rest(job)

    async def _record(self, round_: Round, appends: Sequence[Append], era: int) -> None:
        members = round_.members
        verdicts: Sequence[Verdict]
        is_known = True
        try:
            verdicts = await self._store.append_chain(appends)
        except EventStoreError as error:
            verdicts = [error.copy_for_caller() for _ in members]
        except Exception as bug:  # noqa: BLE001  its members must be told; what is recorded of them is not known
            _log.exception("recording a round of %s failed", self._domain.name)
            verdicts = [bug for _ in members]
            is_known = False
        except BaseException:
            round_.abandon()
            self._recording = None
            raise
        if is_known and not any(isinstance(verdict, OutcomeUnknown) for verdict in verdicts):
            self._settle(round_, verdicts)
        else:
            round_.abandon()
        self._recording = None
        self._news.set()
        down = next((verdict for verdict in verdicts if isinstance(verdict, _DOWN)), None)
        if down is None:
            self._breaker.served(era)
        else:
            self._breaker.open(down, era)
        # The next round is sent first.
        await asyncio.sleep(0)
        self._judge_all(round_, verdicts)

    def _settle(self, round_: Round, verdicts: Sequence[Verdict]) -> None:
        """Take note of what became of a round. Whatever a view does, the answers stand."""
        try:
            with UserCode(self._watchdog, round_.members[0].job.message.command_type):
                round_.settle(verdicts, self._reader)
        except Exception:  # noqa: BLE001  the answers stand
            _log.exception("the states of %s are read anew", self._domain.name)
            self._states.forget()

    def _judge_all(self, round_: Round, verdicts: Sequence[Verdict]) -> None:
        relies_on_none = True
        for member, verdict in zip(round_.members, verdicts, strict=True):
            job = member.job
            job.is_sent = False
            if isinstance(verdict, ChainBroken) and relies_on_none:
                # Nothing before it was refused: what it was decided on lies too far back.
                self._states.distrust(job.parts)
            relies_on_none = relies_on_none and isinstance(verdict, Receipt) and not verdict.duplicate
            self._judge(job, verdict)

    def _judge(self, job: Job, verdict: Verdict) -> None:
        match verdict:
            case Receipt():
                self._answer(job, verdict)
            case ChainBroken():
                self._again(job)
            case ConflictError():
                self._lose(job, verdict)
            case StoreUnavailable() | StoreMisconfigured() | OutcomeUnknown():
                if isinstance(verdict, OutcomeUnknown):
                    job.was_sent = job.may_be_recorded = True
                self._again(job)
            case _:
                self._fail(job, verdict)

    def _answer(self, job: Job, receipt: Receipt) -> None:
        if receipt.duplicate and not job.was_sent:
            self._looked_up_left = _LOOKED_UP_AFTER_A_DUPLICATE
        followers = job.followers
        self._end(job, Answer(receipt=receipt, attempts=job.attempts))
        for follower in followers:
            self._answer_follower(job, follower, receipt)

    def _answer_follower(self, first: Job, follower: Job, receipt: Receipt) -> None:
        """Answer a command that came while another with its id was under way."""
        if not self._open(follower) or follower.prepared is None or first.prepared is None:
            return
        if follower.prepared.digest == first.prepared.digest:
            follower.end(Answer(receipt=replace(receipt, duplicate=True), attempts=0))
        else:
            follower.end(IdempotencyKeyReused(follower.command_id))

    def _lose(self, job: Job, conflict: ConflictError) -> None:
        """Let a command rest that lost to somebody else's, and try it again."""
        self._counters.conflicts += 1
        self._counters.stale_conflicts += job.read_from_replica
        note_conflict(job, conflict)
        end_attempt(job)
        job.lost += 1
        if self._drop(job):
            return
        self._rest(job)

    def _rest(self, job: Job) -> None:
        # Every hold in vain doubles the wait: others wait while it lasts.
        rest = self._retries.wait(job.lost) * 2**job.holds
        self._resting[job] = asyncio.get_running_loop().call_later(rest, self._rested, job, rest)

    def _rested(self, job: Job, rest: float) -> None:
        self._resting.pop(job, None)
        if not self._drop(job):
            self._begin(job, rest)

    def _read_failed(self, job: Job, failure: Exception) -> None:
        if isinstance(failure, ConflictError):
            self._lose(job, failure)
        else:
            self._fail(job, failure)

    def _fail(self, job: Job, failure: Exception) -> None:
        end_attempt(job, failure)
        followers = job.followers
        self._end(job, failure)
        for follower in followers:
            self.submit(follower)

    def _end(self, job: Job, happened: Answer | Exception | None) -> None:
        end_attempt(job)
        if self._active.get(job.command_id) is job:
            del self._active[job.command_id]
            self._states.release(job.parts)
        if (timer := self._resting.pop(job, None)) is not None:
            timer.cancel()
        if not self._active:
            self._idle.set()
        self._tell(job, happened)

    @staticmethod
    def _tell(job: Job, happened: Answer | Exception | None) -> None:
        try:
            job.end(happened)
        except Exception:  # noqa: BLE001  one that cannot be told must not end the round of all others
            _log.exception("telling of the end of %s failed", job.message.command_type)

    def _give_back(self, job: Job) -> None:
        """End a command undecided, and with it those that await its answer."""
        followers = job.followers
        self._end(job, None)
        for follower in followers:
            self._tell(follower, None)

    def _drop(self, job: Job) -> bool:
        """Let go of a command that has ended, or whose end nobody would hear."""
        if job.has_ended:
            return True
        if not job.is_abandoned():
            return False
        followers = job.followers
        self._end(job, None)
        for follower in followers:
            self.submit(follower)
        return True

    def _tick(self) -> None:
        """End commands whose time is over. Nothing ends one that is being recorded: its answer may be on record."""
        self._ticker = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)
        now = time.monotonic()
        seconds = self._settings.worker_handler_timeout
        for job in [*self._active.values()]:
            if job.is_sent or self._drop(job):
                continue
            if self._breaker.is_open:
                if now >= job.held_until:
                    self._fail(job, StoreUnavailable("the database did not serve for as long as this was held"))
            elif now - job.started_at > seconds:
                self._fail(job, HandlerTimedOut(f"there was no answer within {seconds:g} s"))

    def _resume(self) -> None:
        """Give every command its whole time again after a pause: it could not use it."""
        now = time.monotonic()
        for job in self._active.values():
            job.started_at = now
        self._news.set()

    def _running(self, job: Job) -> UserCode:
        return UserCode(self._watchdog, job.message.command_type, job.context)
