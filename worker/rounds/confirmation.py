"""The confirmation: whether a command whose code failed in a round also fails on recorded events."""

import asyncio
import logging
from contextvars import Context

from eventstore import Consistency
from handlers.read_states import ReadStates
from worker.rounds.circuit_breaker import DOWN
from worker.rounds.job import Job
from worker.rounds.outcomes import Outcomes
from worker.rounds.round import NO_NUMBER
from worker.rounds.shared import Shared
from worker.rounds.user_code import UserCode
from worker.telemetry.logs import whereabouts

__all__ = ["Confirmation"]

_log = logging.getLogger(__name__)

# How often a command that fails in a round, but not on a snapshot, is decided again: in rounds, then alone.
_MOST_UNCONFIRMED = 3


class Confirmation:
    """Decides failed commands once more on one snapshot of the primary, and records nothing.

    A failure is validated by no append. The state that caused it may contain events that are never recorded, lack
    events of other writers, or combine parts read at different times. If it was kept, it would fail the command each
    time. A command that repeatedly fails only in rounds is decided alone, with nothing else in progress. If it then
    repeatedly fails, its error counts, whatever happens on a snapshot: its code is not pure.
        shared: The objects that are shared within one domain's scheduler.
        outcomes: Gets the result for each command.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        outcomes: Outcomes,
    ) -> None:
        self._domain = shared.domain
        self._reader = shared.reader
        self._breaker = shared.breaker
        self._watchdog = shared.watchdog
        self._outcomes = outcomes
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, job: Job, raised: Exception) -> None:
        """Find out whether a command fails on recorded events. It then ends with that failure, or is decided again.

        Args:
            job: The command.
            raised: The error that its code raised in a round.
        """
        job.is_waiting = True
        task = asyncio.create_task(self._confirm(job, raised), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _confirm(self, job: Job, raised: Exception) -> None:
        era = await self._breaker.closed()
        failure: Exception | None
        is_told = True
        try:
            seen = await self._reader.read_once(
                job.parts,
                consistency=Consistency.STRONG,
                running=lambda: UserCode(self._watchdog, job.message.command_type),
            )
            is_told = not seen.long
            failure = self._failure(job, seen) if is_told else None
        except Exception as error:  # noqa: BLE001  no command must wait for ever
            if self._breaker.is_patient and isinstance(error, DOWN):
                self._breaker.open(error, era)
            failure = error
        job.is_waiting = False
        if not job.has_ended:
            if is_told:
                self._tell(job, raised, failure)
            else:
                self._outcomes.read_first(job)
        # Its traceback leads to this frame: a cycle would keep both, and a body of any size, until garbage is
        # collected.
        del failure

    def _tell(self, job: Job, raised: Exception, failure: Exception | None) -> None:
        if failure is not None:
            self._outcomes.judged(job, failure)
        elif job.unconfirmed + 1 == 2 * _MOST_UNCONFIRMED:
            self._outcomes.failed(job, raised)
        else:
            job.unconfirmed += 1
            if job.unconfirmed == _MOST_UNCONFIRMED:
                job.is_decided_alone = True
                _log.warning(
                    "%s has failed repeatedly on events that were not recorded yet (%s): it is decided alone",
                    job.message.command_type,
                    whereabouts(raised),
                )
            self._outcomes.again(job)

    def _failure(self, job: Job, seen: ReadStates) -> Exception | None:
        """Return the error of a command on one snapshot; None if it succeeds there."""
        for failure in seen.failures.values():
            return failure
        prepared = job.prepared
        if prepared is None:
            return None
        states = {part: kept.state for part, kept in seen.states.items()}
        try:
            with UserCode(self._watchdog, job.message.command_type, job.context):
                decision = self._domain.decide(prepared.command, prepared.reads, states)
                events, _ = prepared.to_record(decision, self._domain, job.attempts)
                self._domain.sensitive.subjects(events)  # a value without a subject cannot be recorded
                recorded = [event.recorded(NO_NUMBER, 0) for event in events]
                facts = [self._domain.recorded(event) for event in recorded]
                for part in job.parts:
                    mine = [fact for event, fact in zip(recorded, facts, strict=True) if part.filter.holds(event)]
                    part.advanced(states[part], mine)
        except Exception as failure:  # noqa: BLE001  any error of a domain's code
            return failure
        return None
