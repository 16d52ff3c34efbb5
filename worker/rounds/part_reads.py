"""Part reads: brings the parts that commands wait for up to date, many by one statement."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any

from opentelemetry import context as contexts

from eventstore import (
    ConflictError,
    Consistency,
    EventStoreError,
    PositionNotReached,
)
from eventstore.telemetry import shared_by
from handlers.kept_states import KeptState
from handlers.part import Part
from handlers.read_states import ReadStates
from worker.rounds.circuit_breaker import DOWN
from worker.rounds.job import Job
from worker.rounds.job_spans import query_span
from worker.rounds.part_entry import PartEntry
from worker.rounds.read_lanes import ReadLane, ReadLanes
from worker.rounds.recording import Recording
from worker.rounds.shared import Shared
from worker.rounds.user_code import UserCode

__all__ = ["PartReads"]


class PartReads:
    """Reads the parts of one domain's commands.

    Reads that are requested while a statement runs share the next one. A part that fails, or has a long history, delays
    only the commands that read it. Views that turn out slow are read apart from the others.

    Args:
        shared: The objects that are shared within one domain's scheduler.
        recording: Says when to send the next statement, so that reads keep step with rounds.
        ready: Called with each command whose reads and look-up are done.
        failed: Called with each command whose read failed, and the error.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        recording: Recording,
        ready: Callable[[Job], None],
        failed: Callable[[Job, Exception], None],
    ) -> None:
        self._reader = shared.reader
        self._states = shared.states
        self._breaker = shared.breaker
        self._watchdog = shared.watchdog
        self._counters = shared.counters
        self._recording = recording
        self._most = 2 * shared.settings.worker_concurrency
        self._ready = ready
        self._failed = failed
        self._lanes = ReadLanes()
        self._long: set[asyncio.Task[None]] = set()

    def want(self, job: Job, entries: Iterable[PartEntry]) -> None:
        """Read parts for a command, which waits for them.

        Args:
            job: The command.
            entries: The parts to read, each once.
        """
        job.is_waiting = True
        for entry in entries:
            job.missing.add(entry)
            strong = job.lost > 0 or self._states.must_read_strong(entry)
            lane = self._lanes.of(entry.part.view.name, is_strong=strong)
            if not lane.waiting:
                lane.since = self._recording.begun
            waiting = lane.waiting.get(entry)
            if waiting is None:
                lane.waiting[entry] = [job]
                self._recording.more(lane.waiting)
            else:
                waiting.append(job)
            if lane.task is None or lane.task.done():
                # In a context of its own: a shared read belongs to no single command.
                lane.task = asyncio.create_task(self._read_lane(lane), context=Context())

    def pass_on(self, job: Job) -> None:
        """Pass a command on to ``ready`` if it waits for nothing any more; once, however often it waited."""
        if job.is_waiting and not job.missing and job.is_looked_up and not job.has_ended:
            job.is_waiting = False
            self._ready(job)

    def fail(self, jobs: Iterable[Job], error: Exception) -> None:
        """Fail commands that wait, with a copy of the error each."""
        for job in jobs:
            if job.is_waiting and not job.has_ended:
                job.is_waiting = False
                job.missing.clear()
                own = error.copy_for_caller() if isinstance(error, EventStoreError) else error
                self._failed(job, own)

    def forget_ended(self) -> None:
        """Read nothing more for those who have ended."""
        for lane in self._lanes:
            for entry, jobs in list(lane.waiting.items()):
                jobs[:] = [job for job in jobs if not job.has_ended]
                if not jobs:
                    del lane.waiting[entry]

    async def close(self) -> None:
        """Stop reading."""
        tasks = [task for task in (*(lane.task for lane in self._lanes), *self._long) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_lane(self, lane: ReadLane) -> None:
        waiting = lane.waiting
        # Requests that come in during this turn of the loop share the statement.
        await asyncio.sleep(0)
        while waiting:
            await self._recording.step(waiting, lane.since)
            era = await self._breaker.closed()
            batch = {entry: waiting.pop(entry) for entry in list(waiting)[: self._most]}
            await self._read(lane, batch, era)

    async def _read(self, lane: ReadLane, batch: dict[PartEntry, list[Job]], era: int) -> None:
        batch = {
            entry: jobs
            for entry, waiting in batch.items()
            # A command that failed because of another part no longer waits.
            if (jobs := [job for job in waiting if not job.has_ended and entry in job.missing])
        }
        if not batch:
            return
        started = time.monotonic()
        least = self._states.least(batch)
        try:
            seen = await self._read_once(lane, batch)
        except DOWN as error:
            if self._breaker.is_patient:
                self._breaker.open(error, era)
                self._again(lane, batch)
            else:
                self._fail(batch, error)
        except (ConflictError, PositionNotReached) as error:
            self._fail(batch, error)
        except EventStoreError as error:
            await self._split(lane, batch, era, error)
        except Exception as bug:  # noqa: BLE001  no command must wait for ever
            self._fail(batch, bug)
        else:
            self._breaker.served(era)
            was_answered = bool(seen.events or seen.long)
            if was_answered and lane.consistency is Consistency.STRONG and seen.position.number < least:
                # The log is shorter than before. Compared with what is cached of these parts, no read would ever be
                # recent enough.
                self._states.forget()
            self._lanes.measure(lane, batch, time.monotonic() - started)
            self._distribute(lane, batch, seen)

    async def _read_once(self, lane: ReadLane, batch: dict[PartEntry, list[Job]]) -> ReadStates:
        jobs: dict[Job, list[Part[Any]]] = {}
        for entry, waiting in batch.items():
            for job in waiting:
                jobs.setdefault(job, []).append(entry.part)
        command = next(iter(jobs)).message.command_type
        # If it is alone, the store's own span goes below its attempt.
        alone = len(jobs) == 1
        token = contexts.attach(next(iter(jobs)).attempt_context) if alone else None
        spans = {} if alone else {job: query_span(job) for job in jobs if job.span.is_recording()}
        try:
            with shared_by(None if alone else list(spans.values())):
                seen = await self._reader.read_once(
                    [entry.part for entry in batch],
                    consistency=lane.consistency,
                    running=UserCode(self._watchdog, command).again,
                )
            for job, span in spans.items():
                span.set_attribute("eventstore.events", sum(seen.events.get(part, 0) for part in jobs[job]))
                span.set_attribute("eventstore.position", seen.position.number)
                span.set_attribute("eventstore.replica", seen.replica)
            return seen
        finally:
            for span in spans.values():
                span.end()
            if token is not None:
                contexts.detach(token)

    async def _split(self, lane: ReadLane, batch: dict[PartEntry, list[Job]], era: int, error: EventStoreError) -> None:
        """Halve the batch until the refused part is alone: it must not fail the other parts."""
        if len(batch) == 1:
            self._fail(batch, error)
            return
        entries = list(batch)
        middle = len(entries) // 2
        for half in (entries[:middle], entries[middle:]):
            await self._read(lane, {entry: batch[entry] for entry in half}, era)

    def _distribute(self, lane: ReadLane, batch: dict[PartEntry, list[Job]], seen: ReadStates) -> None:
        for entry, jobs in batch.items():
            part = entry.part
            self._counters.reads += len(jobs)
            if seen.replica:
                self._counters.replica_reads += len(jobs)
            if (before := seen.long.get(part)) is not None:
                self._read_long(lane, entry, before, seen, jobs)
            elif (failure := seen.failures.get(part)) is not None:
                self._fail({entry: jobs}, failure)
            else:
                events = seen.events.get(part, 0)
                for job in jobs:
                    job.found(events, seen.position, replica=seen.replica)
                    job.missing.discard(entry)
                    self.pass_on(job)

    def _read_long(
        self, lane: ReadLane, entry: PartEntry, before: KeptState, seen: ReadStates, jobs: list[Job]
    ) -> None:
        """Read a long history apart. Its commands then read what was recorded since, and join a later round."""
        task = asyncio.create_task(self._stream(lane, entry, before, seen, jobs), context=Context())
        self._long.add(task)
        task.add_done_callback(self._long.discard)

    async def _stream(
        self, lane: ReadLane, entry: PartEntry, before: KeptState, seen: ReadStates, jobs: list[Job]
    ) -> None:
        era = self._breaker.era
        command = jobs[0].message.command_type
        try:
            await self._reader.long_reads.read(
                entry.part,
                before,
                seen.position,
                consistency=lane.consistency,
                running=lambda: UserCode(self._watchdog, command),
            )
        except DOWN as error:
            if not self._breaker.is_patient:
                self._fail({entry: jobs}, error)
                return
            self._breaker.open(error, era)
        except Exception as failure:  # noqa: BLE001  any error of a view is that of the commands that read it
            self._fail({entry: jobs}, failure)
            return
        for job in jobs:
            if not job.has_ended:
                self.want(job, [entry])

    def _again(self, lane: ReadLane, batch: dict[PartEntry, list[Job]]) -> None:
        for entry, jobs in batch.items():
            lane.waiting[entry] = [*jobs, *lane.waiting.get(entry, ())]
        # The task of this lane reads them next.

    def _fail(self, batch: dict[PartEntry, list[Job]], error: Exception) -> None:
        self.fail(dict.fromkeys(job for jobs in batch.values() for job in jobs), error)
