"""The leased service: a process that runs tasks, each of which one process at a time may run, by a lease."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from worker.rounds.watchdog import Watchdog
from worker.settings import Settings
from worker.supervision.control_socket import supervised
from worker.supervision.health import Health
from worker.supervision.health_server import health_served
from worker.supervision.signals import stop_signals
from worker.telemetry.logs import configure_logs
from worker.telemetry.providers import Telemetry
from worker.waiting import first_of

__all__ = ["LeasedPart", "LeasedService", "run"]

_log = logging.getLogger(__name__)


class LeasedPart(Protocol):
    """Tasks that share a database for their leases."""

    @property
    def active(self) -> int:
        """How many of the tasks this process holds the lease of."""
        ...

    @property
    def troubles(self) -> Sequence[str]:
        """What prevents tasks from running now, a sentence each."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """What this process has done, for the log at its end."""
        ...

    async def serve(self) -> None:
        """Take the leases whenever they are free, and run the tasks, until cancelled; then release the leases."""
        ...


class LeasedService:
    """Runs the tasks of several parts in one process.

    Args:
        parts: The parts.
        doing: The activity, in a word, for the health report.
        watchdog: Detects a blocked event loop; a new one by default.

    Attributes:
        parts: The parts.
        doing: The activity, in a word.
    """

    def __init__(self, parts: Sequence[LeasedPart], *, doing: str, watchdog: Watchdog | None = None) -> None:
        self.parts = tuple(parts)
        self.doing = doing
        self._watchdog = watchdog if watchdog is not None else Watchdog(effect="its leases are not renewed")
        self._draining = False

    def health(self) -> Health:
        """Return the health: ready while no task is held up. A task that waits to retry leaves the process live."""
        if self._draining:
            return Health(live=True, ready=False, reason="draining")
        troubles = [trouble for part in self.parts for trouble in part.troubles]
        active = sum(part.active for part in self.parts)
        return Health(
            live=True,
            ready=not troubles,
            reason="; ".join(troubles) or (f"{self.doing} {active}" if active else f"another process is {self.doing}"),
        )

    def counts(self) -> Mapping[str, int]:
        """Return the sums of the parts' counts, which a supervisor logs at the end."""
        total: Counter[str] = Counter()
        for part in self.parts:
            total.update(part.counts)
        return total

    async def serve(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set; then release the leases. What is not finished is done again later."""
        # A blocked loop, as by a domain's function, prevents the leases from being renewed.
        async with self._watchdog.watching(), asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.serve()) for part in self.parts]
            await first_of(stop, tasks=tasks)
            self._draining = True
            for task in tasks:
                task.cancel()


async def run(
    settings: Settings,
    opening: AbstractAsyncContextManager[LeasedService],
    *,
    control_socket: int | None = None,
    shown: Callable[[LeasedService, asyncio.Event], object] | None = None,
) -> int:
    """Run a service until it is stopped by SIGTERM or SIGINT.

    Args:
        settings: The worker's settings.
        opening: Opens the service, and closes it at the end.
        control_socket: File descriptor of the socket to its supervisor, which then answers health probes; None without
            one.
        shown: Called with the service and the stop event once it runs, to show its progress.

    Returns:
        The exit status: 0.

    Raises:
        SettingsError: The port for health probes is taken.
        Exception: Any error of ``opening``.
    """
    configure_logs(settings.worker_log_format, settings.worker_log_level)
    telemetry = Telemetry.start()
    try:
        with stop_signals() as (stop, hurry):
            async with (
                supervised(control_socket, stop=stop, hurry=hurry) as channel,
                opening as service,
            ):
                port = None if channel.is_open else settings.worker_health_port
                async with (
                    health_served(settings.worker_health_host, port, service.health),
                    channel.reporting(health=service.health, figures=service.counts),
                ):
                    if shown is not None:
                        shown(service, stop)
                    _log.info("%s", service.doing)
                    await service.serve(stop)
                    # Before the counts can no longer be observed.
                    await asyncio.to_thread(telemetry.stop)
                return 0
    finally:
        await asyncio.to_thread(telemetry.stop)
