"""The confirmation: whether a command whose code has failed fails on what is on record, too."""

import asyncio
import logging
from contextvars import Context

from eventstore import Consistency
from handlers.glance import Glance
from worker.rounds.circuit_breaker import DOWN
from worker.rounds.job import Job
from worker.rounds.outcomes import Outcomes
from worker.rounds.round import NO_NUMBER
from worker.rounds.shared import Shared
from worker.rounds.user_code import UserCode
from worker.telemetry.logs import whereabouts

__all__ = ["Confirmation"]

_log = logging.getLogger(__name__)

# So often a command is decided again that fails in a round and not on a snapshot: in rounds, then alone.
_MOST_UNCONFIRMED = 3


class Confirmation:
    """Decides commands once more, on one snapshot of the primary, and records nothing.

    No append validates a failure. It may be that of a state that never comes about, that lacks what others have
    recorded, or that puts together parts of two times; kept, it would fail the command each time. A command that fails
    again and again on what is not on record is decided with nothing under way; what it raises there again and again is
    believed, whatever it does on a snapshot: its code is not pure.

    Args:
        shared: What it shares with the others.
        outcomes: Told what became of each command.
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
        """Find out whether a command fails. It is told so, or decided again.

        Args:
            job: The command.
            raised: What its code raised in a round.
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
            seen = await self._reader.glance(
                job.parts,
                consistency=Consistency.STRONG,
                running=lambda: UserCode(self._watchdog, job.message.command_type),
            )
            is_told = not seen.long
            failure = self._failure(job, seen) if is_told else None
        except Exception as error:  # noqa: BLE001  nobody must wait for ever
            if self._breaker.is_patient and isinstance(error, DOWN):
                self._breaker.open(error, era)
            failure = error
        job.is_waiting = False
        if not job.has_ended:
            if is_told:
                self._tell(job, raised, failure)
            else:
                self._outcomes.read_first(job)
        # Its traceback leads here: they would keep each other, and a body of any size, until garbage is collected.
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
                    "%s has failed again and again on what was not on record (%s): it is decided alone",
                    job.message.command_type,
                    whereabouts(raised),
                )
            self._outcomes.again(job)

    def _failure(self, job: Job, seen: Glance) -> Exception | None:
        """Return what a command fails of in one snapshot; None if it does not."""
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
                self._domain.sensitive.subjects(events)  # a value that belongs to nobody cannot be recorded
                recorded = [event.recorded(NO_NUMBER, 0) for event in events]
                facts = [self._domain.recorded(event) for event in recorded]
                for part in job.parts:
                    mine = [fact for event, fact in zip(recorded, facts, strict=True) if part.filter.holds(event)]
                    part.advanced(states[part], mine)
        except Exception as failure:  # noqa: BLE001  whatever a domain's code raises
            return failure
        return None
