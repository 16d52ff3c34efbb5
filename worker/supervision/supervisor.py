"""The supervisor: keeps a number of worker processes running, and reports their health.

It consumes and decides nothing itself, so that there is little in it that can fail.
"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from eventstore.backoff import Backoff
from eventstore.counted import counted
from worker.settings import Settings
from worker.supervision.control_socket import HURRY, STOP
from worker.supervision.exit_status import how_it_ended
from worker.supervision.health import Health
from worker.supervision.health_server import health_served
from worker.supervision.signals import stop_signals
from worker.supervision.stop_times import END_SECONDS
from worker.supervision.worker_process import WorkerProcess
from worker.telemetry.logs import configure_logs
from worker.waiting import first_of

__all__ = ["RestartLimits", "Supervisor", "supervise"]

_log = logging.getLogger(__name__)

# The exit status for wrong settings or surroundings, which the process has reported itself.
_MISTAKE = 2
# The random share of a delay.
_JITTER = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartLimits:
    """How often and how soon a process is restarted. All times in seconds.

    Attributes:
        first_delay: The longest delay before the first restart; it doubles with each further one in a row. Half of it
            is jitter.
        longest_delay: The upper limit of the delay.
        useful: After a process was useful for this long, its restarts are counted from zero.
        most_restarts: After this many restarts in a row, a process that ends sooner than ``useful`` is given up.
        longest_ready: How long a process may go without a report before it no longer counts as ready.
        most_silence: How long a process may go without a report before it is killed.
        end: How long a process may take to end after its drain deadline, or after it was told to hurry.
    """

    first_delay: float = 0.25
    longest_delay: float = 30.0
    useful: float = 10.0
    most_restarts: int = 7
    longest_ready: float = 5.0
    most_silence: float = 60.0
    end: float = END_SECONDS + 5.0


class Supervisor:
    """Starts worker processes, and restarts those that end by themselves.

    The first process is started before the others: if settings or surroundings are wrong, it alone reports that, and
    the others are not started.

    Args:
        command: The command that starts a worker process.
        processes: The number of processes.
        grace: How long a process that is restarted counts as live, in seconds.
        drain_deadline: How long a drain may take, in seconds.
        limits: How often and how soon processes are restarted; by default those of ``RestartLimits``.
        others: Arguments that are added to the command of all but the first process.
    """

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        *,
        grace: float,
        drain_deadline: float,
        limits: RestartLimits | None = None,
        others: Sequence[str] = (),
    ) -> None:
        self._limits = limits if limits is not None else RestartLimits()
        self._grace = grace
        self._drain_deadline = drain_deadline
        self._workers = [
            WorkerProcess(
                number,
                (*command, *(others if number > 1 else ())),
                longest_ready=self._limits.longest_ready,
                most_silence=self._limits.most_silence,
                restarts=Backoff(first=self._limits.first_delay, longest=self._limits.longest_delay, jitter=_JITTER),
            )
            for number in range(1, processes + 1)
        ]
        # Set once a process has begun to consume: settings and surroundings are then known to be right.
        self._proven = asyncio.Event()
        self._stopping = asyncio.Event()
        # The exit status if the supervisor stops by itself.
        self._failure: int | None = None

    def health(self) -> Health:
        """Return the health of all processes: live if each is live, ready if each is ready."""
        if self._stopping.is_set():
            return Health(live=True, ready=False, reason="draining")
        found = {worker.number: worker.judged(self._grace) for worker in self._workers}
        troubles = [f"worker {number}: {health.reason}" for number, health in found.items() if not health.ready]
        return Health(
            live=all(health.live for health in found.values()),
            ready=not troubles,
            reason="; ".join(troubles) or f"{counted(len(found), 'process is', 'processes are')} consuming",
        )

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> int:
        """Keep the processes running until told to stop.

        Args:
            stop: When set, the processes drain.
            hurry: When set, the processes stop at once.

        Returns:
            The exit status: 0 if each process has drained completely, 1 if one has not or was given up, 2 if the first
            process has reported a mistake.

        On cancellation all processes are killed.
        """
        keeping = [asyncio.create_task(self._keep(worker)) for worker in self._workers]
        try:
            await first_of(stop, self._stopping, tasks=keeping)
            self._stopping.set()
            self._tell(STOP)
            ended = asyncio.gather(*keeping)
            await first_of(hurry, tasks=[ended], within=self._drain_deadline + self._limits.end)
            if not ended.done():
                self._tell(HURRY)
                await first_of(tasks=[ended], within=self._limits.end)
            for worker in self._workers:
                worker.kill()
            await ended
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
        return self._failure if self._failure is not None else self._report_drain()

    async def _keep(self, worker: WorkerProcess) -> None:
        """Start one of the processes, and restart it whenever it ends."""
        if worker is not self._workers[0]:
            await first_of(self._proven, self._stopping)
        while not self._stopping.is_set():
            try:
                await worker.run(self._on_change)
            except OSError as error:
                worker.status = 1
                _log.error("%s cannot be started: %s", worker, error)
            if self._stopping.is_set():
                return
            delay = self._delay_after(worker)
            # How it ended has been reported; a process that is gone, or never consumed, has nothing to drain.
            worker.status = None
            if delay is not None:
                await first_of(self._stopping, within=delay)

    def _delay_after(self, worker: WorkerProcess) -> float | None:
        """Return the seconds until an ended process is restarted; None if all processes are to stop."""
        limits = self._limits
        status = worker.status or 0
        if status == _MISTAKE and not self._proven.is_set():
            self._fail(_MISTAKE)
            return None
        if worker.useful_for >= limits.useful:
            worker.restarts.reset()
        ended = how_it_ended(status)
        if status == _MISTAKE:
            # It worked before, or others do: the broker may be down. It is restarted slowly, and is never given up.
            delay = Backoff(first=limits.longest_delay, longest=limits.longest_delay, jitter=_JITTER).next_wait()
        elif worker.restarts.waits >= limits.most_restarts:
            _log.error("%s %s; giving up after %s in a row", worker, ended, counted(worker.restarts.waits, "restart"))
            self._fail(1)
            return None
        else:
            delay = worker.restarts.next_wait()
        worker.health = Health(live=True, ready=False, reason=f"it {ended}")
        _log.warning("%s %s; starting another in %.1f s; %s", worker, ended, delay, self._summary())
        return delay

    def _fail(self, status: int) -> None:
        self._failure = status
        self._stopping.set()

    def _on_change(self, worker: WorkerProcess) -> None:
        self._proven.set()
        level = logging.INFO if worker.health.ready else logging.WARNING
        if not self._stopping.is_set():
            _log.log(level, "%s: %s; %s", worker, worker.health.reason, self._summary())

    def _summary(self) -> str:
        ready = sum(worker.judged(self._grace).ready for worker in self._workers)
        return f"{ready} of {len(self._workers)} ready"

    def _tell(self, what: bytes) -> None:
        for worker in self._workers:
            worker.tell(what)

    def _report_drain(self) -> int:
        complete = [worker.status in {None, 0} or not worker.has_started for worker in self._workers]
        _log.info(
            "%d of %s drained completely", sum(complete), counted(len(complete), "worker process", "worker processes")
        )
        return 0 if all(complete) else 1


async def supervise(settings: Settings, processes: int) -> int:
    """Run a number of worker processes, started as this one was, until stopped by SIGTERM or SIGINT.

    Returns:
        The exit status, as in ``Supervisor.run``.

    Raises:
        SettingsError: The port for health probes is taken.
    """
    configure_logs(settings.worker_log_format, settings.worker_log_level)
    supervisor = Supervisor(
        (sys.executable, *sys.orig_argv[1:]),
        processes,
        # The first process checks the servers' connection limits for all of them.
        others=("--processes", "1"),
        grace=settings.worker_health_grace,
        drain_deadline=settings.worker_drain_deadline,
    )
    with stop_signals() as (stop, hurry):
        async with health_served(settings.worker_health_host, settings.worker_health_port, supervisor.health):
            return await supervisor.run(stop, hurry)
