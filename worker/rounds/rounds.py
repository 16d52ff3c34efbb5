"""The rounds: ready commands are decided together and recorded by one append, round after round."""

import asyncio
import heapq
import logging
import time
from collections import deque
from contextvars import Context

from opentelemetry import trace

from worker.rounds.circuit_breaker import DOWN
from worker.rounds.escalation import Escalation
from worker.rounds.job import Job
from worker.rounds.job_spans import decide_span
from worker.rounds.key_order import KeyOrder
from worker.rounds.outcomes import Outcomes
from worker.rounds.overlay import NeedsOwnRound, NotKnown
from worker.rounds.recorder import Recorder
from worker.rounds.round import Round
from worker.rounds.sealing import sealed_events
from worker.rounds.shared import Shared
from worker.rounds.user_code import UserCode
from worker.telemetry.spans import mark_failed

__all__ = ["Rounds"]

_log = logging.getLogger(__name__)

# How long commands are decided without a pause: other tasks on the loop wait.
_BREATH_SECONDS = 0.005
# How long a round is filled at most, if nothing keeps it from being sent.
_LONGEST_DECIDING = 0.02


class Rounds:
    """Decides and records the commands of one domain.

    All ready commands form one round: they are decided in order, each on top of those before it, and recorded by one
    append. While a round is being recorded the next is decided on top of it; it is sent only after the former is
    answered.

    Args:
        shared: The objects that are shared within one domain's scheduler.
        order: Holds back commands that would overtake an earlier one with the same affinity key.
        recorder: Sends the rounds to the store.
        outcomes: Gets the result for each command.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        order: KeyOrder,
        recorder: Recorder,
        outcomes: Outcomes,
    ) -> None:
        self._shared = shared
        self._domain = shared.domain
        self._states = shared.states
        self._breaker = shared.breaker
        self._watchdog = shared.watchdog
        self._counters = shared.counters
        self._order = order
        self._recorder = recorder
        self._most = shared.settings.worker_concurrency
        self._outcomes = outcomes
        # With their tickets, so that they are compared without a call.
        self._ready: list[tuple[int, Job]] = []
        self._alone: deque[Job] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._escalation = Escalation(shared, decide=self.decide, outcomes=outcomes)

    def put(self, job: Job, *, locked: bool) -> None:
        """Add a command that waits for nothing, and start the task that decides rounds if needed.

        Args:
            job: The command.
            locked: Whether it is to be decided under the store's lock.
        """
        if locked:
            self._escalation.add(job)
        elif job.is_decided_alone:
            self._set_aside(job)
        else:
            heapq.heappush(self._ready, (job.ticket, job))
        self._news.set()
        if self._runner is None:
            # In a context of its own: a round belongs to no single command.
            self._runner = asyncio.create_task(self._run(), name=f"rounds of {self._domain.name}", context=Context())

    def _set_aside(self, job: Job) -> None:
        job.is_alone = True
        self._alone.append(job)

    def wake(self) -> None:
        """Check again for work."""
        self._news.set()

    def forget_ended(self) -> None:
        """Let go of those who are ready and have ended."""
        self._ready = [each for each in self._ready if not each[1].has_ended]
        heapq.heapify(self._ready)

    async def close(self) -> None:
        """Stop deciding."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            while not (self._ready or self._alone or self._escalation.is_wanted):
                await self._something_new()
            era = await self._breaker.closed()
            if self._alone or self._escalation.is_wanted:
                while self._recorder.round is not None:
                    await self._something_new()
            if self._escalation.is_wanted:
                await self._decide_locked(era)
            else:
                await self._decide_round(era)

    async def _something_new(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _decide_round(self, era: int) -> None:
        round_ = Round(self._shared, self._recorder.round)
        try:
            if self._alone:
                job = self._alone.popleft()
                job.is_alone = False
                self.decide(round_, job)
            else:
                for job in await self._fill(round_):
                    self.decide(round_, job)
            self._send(round_, era)
        except Exception as bug:  # noqa: BLE001  the rounds go on, whatever happens in this one
            _log.exception("a round of %s failed", self._domain.name)
            round_.abandon()
            for member in round_.members:
                self._outcomes.failed(member.job, bug)

    async def _fill(self, round_: Round) -> list[Job]:
        """Decide ready commands, until the round can be sent.

        Returns:
            The commands that have a receipt already. They come last in the round, and so must be decided last: if a
            failover has lost their receipts by then, they are recorded as they were decided.
        """
        most = self._breaker.room(self._most)
        recorded: list[Job] = []
        began = breath = time.monotonic()
        while True:
            while self._ready and len(round_.members) + len(recorded) < most and not round_.is_full:
                _, job = heapq.heappop(self._ready)
                if job.is_recorded:
                    recorded.append(job)
                else:
                    self.decide(round_, job)
                now = time.monotonic()
                if now - breath > _BREATH_SECONDS:
                    await asyncio.sleep(0)
                    breath = time.monotonic()
                if self._recorder.round is None and now - began > _LONGEST_DECIDING:
                    return recorded
            if self._recorder.round is None:
                return recorded
            await self._something_new()

    def decide(self, round_: Round, job: Job) -> None:
        """Decide a command as the next member of a round. If that fails, its error is reported, and it is no member."""
        try:
            self._decide(round_, job)
        except Exception as bug:  # noqa: BLE001  such as a program's own span processor raises; the round goes on
            _log.exception("deciding %s failed", job.message.command_type)
            if not (round_.members and round_.members[-1].job is job):
                self._outcomes.failed(job, bug)

    def _decide(self, round_: Round, job: Job) -> None:
        prepared = job.prepared
        if self._outcomes.let_go(job) or prepared is None or not self._order.admits(job):
            return
        span = decide_span(job)
        context = trace.set_span_in_context(span, job.context) if span.is_recording() else job.context
        try:
            with UserCode(self._watchdog, job.message.command_type, context):
                states = round_.states_for(job)
                self._counters.attempts += 1
                decision = self._domain.decide(prepared.command, prepared.reads, states)
                events, outcome = prepared.to_record(decision, self._domain, job.attempts)
                sealed = sealed_events(self._domain, self._states, round_, job, events)
                round_.add(job, events, outcome, recorded_as=sealed)
        except NeedsOwnRound:
            self._set_aside(job)
        except NotKnown:
            self._outcomes.read_first(job)
        except Exception as failure:  # noqa: BLE001  the settlement table knows what to do with each
            if span.is_recording():
                span.record_exception(failure)
                mark_failed(span, type(failure).__name__, str(failure))
            self._outcomes.raised(job, failure)
        else:
            self._order.release(job)
            if span.is_recording():
                span.set_attribute("command.decision", type(decision).__name__.lower())
        finally:
            span.end()

    def _send(self, round_: Round, era: int) -> None:
        """Prepare a round and send it, in the same turn of the loop."""
        late = {member.job for member in round_.members if self._order.has_earlier(member.job)}
        for job in round_.prepare(late):
            self._outcomes.again(job)
        if not round_.members:
            return
        if self._breaker.is_open:
            round_.abandon()
            for member in round_.members:
                self._outcomes.again(member.job)
            return
        self._recorder.send(round_, era)

    async def _decide_locked(self, era: int) -> None:
        ready = [*(job for _, job in self._ready), *self._order.take_held_back()]
        company, staying = self._escalation.company(sorted(ready, key=lambda job: job.ticket), self._most)
        self._ready = [(job.ticket, job) for job in staying]
        try:
            round_, verdicts = await self._escalation.decide(company)
        except DOWN as error:
            if self._breaker.is_patient:
                self._breaker.open(error, era)
            return
        if round_ is not None and round_.members:
            self._recorder.settle(round_, verdicts)
            self._recorder.tell(round_, verdicts)
