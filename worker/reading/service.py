"""The service of projections: a process that runs them, from its settings to its exit status."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from eventstore import EventStoreError
from eventstore.postgres import PostgresEventStore, Session
from worker.reading.complaints import complaint
from worker.reading.coordinator import Coordinator
from worker.reading.declared import targets_of
from worker.reading.metrics import Figures, observed
from worker.settings import Settings
from worker.supervision.control_socket import supervised
from worker.supervision.health import Health
from worker.supervision.health_server import health_served
from worker.supervision.signals import stop_signals
from worker.telemetry.logs import configure_logs
from worker.telemetry.providers import Telemetry

__all__ = ["ProjectionService", "run"]

_log = logging.getLogger(__name__)

# How often the log is asked for what is new, in seconds: a small part of how late a reader may be.
_FOLLOW_SECONDS = 0.1
_POOL_SIZE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchingUp:
    """How far a projection has come.

    Attributes:
        name: Its name, with its domain.
        version: Which version.
        number: The event that it has come to.
        head: How far the log was when it was looked at.
    """

    name: str
    version: int
    number: int
    head: int


class ProjectionService:
    """Runs projections of one or several logs in one process.

    Args:
        coordinators: One for each log.
    """

    def __init__(self, coordinators: Sequence[Coordinator]) -> None:
        self._coordinators = tuple(coordinators)
        self._draining = False

    def health(self) -> Health:
        """Judge it: ready while nothing that it runs is stopped. It rests on purpose, so it stays live."""
        if self._draining:
            return Health(live=True, ready=False, reason="draining")
        troubles = [trouble for coordinator in self._coordinators for trouble in _troubles(coordinator)]
        running = sum(len(coordinator.running) for coordinator in self._coordinators)
        return Health(
            live=True,
            ready=not troubles,
            reason="; ".join(troubles) or (f"projecting {running}" if running else "another process projects"),
        )

    def figures(self) -> list[Figures]:
        """Return what is observed of each projection that this process runs."""
        return [
            Figures(
                projection=str(running.row.name),
                version=running.row.version,
                events=running.progress.events,
                behind=running.progress.behind,
                behind_seconds=running.progress.behind_seconds,
                is_stopped=running.failure is not None,
            )
            for coordinator in self._coordinators
            for running in coordinator.running.values()
        ]

    def catching_up(self) -> list[CatchingUp]:
        """Return what has not caught up."""
        return [
            CatchingUp(
                name=str(running.row.name),
                version=running.row.version,
                number=running.progress.number,
                head=running.progress.head,
            )
            for coordinator in self._coordinators
            for running in coordinator.running.values()
            if running.progress.behind
        ]

    def counts(self) -> Mapping[str, int]:
        """Return what a supervisor logs at the end."""
        return {"projected": sum(figures.events for figures in self.figures())}

    async def serve(self, stop: asyncio.Event) -> None:
        """Run projections until told to stop; then roll back what is under way, and give the leases back."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coordinator.serve()) for coordinator in self._coordinators]
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait({*tasks, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            self._draining = True
            for task in tasks:
                task.cancel()


def _troubles(coordinator: Coordinator) -> list[str]:
    found = list(coordinator.problems.values())
    if coordinator.trouble is not None:
        found.append(coordinator.trouble)
    for running in coordinator.running.values():
        if (failure := running.failure) is not None:
            found.append(f"{running.row.name} is stopped by event {failure.number}: {failure.error}")
        elif running.trouble is not None:
            found.append(f"{running.row.name}: {running.trouble}")
    return found


@asynccontextmanager
async def opened(settings: Settings, names: Sequence[str]) -> AsyncIterator[ProjectionService]:
    """Open logs and databases for projections, and make the tables that are missing.

    Args:
        settings: Everything.
        names: Which projections, as ``projection`` or ``domain.projection``; none: all.

    Raises:
        ProjectionError: There is none of such a name, or one cannot be run as it is declared, or as the database is.
        StoreUnavailable, StoreMisconfigured: A database cannot be used now, or as it is.
    """
    async with AsyncExitStack() as stack:
        coordinators = []
        for target in targets_of(settings, names):
            store = await stack.enter_async_context(
                PostgresEventStore.connect(
                    target.store.database_url,
                    replica_urls=target.store.database_replica_urls,
                    pool_size=_POOL_SIZE,
                    follow_seconds=_FOLLOW_SECONDS,
                    application_name="worker project",
                    writable=False,
                )
            )
            coordinator = Coordinator(target.declared, store, _sessions(target.url))
            stack.push_async_callback(coordinator.close)
            try:
                await coordinator.open()
            except EventStoreError as error:
                raise complaint(error) from error
            coordinators.append(coordinator)
        yield ProjectionService(coordinators)


def _sessions(url: str) -> Callable[[str], Session]:
    return lambda purpose: Session(url, purpose=purpose)


async def run(
    settings: Settings,
    names: Sequence[str] = (),
    *,
    control_socket: int | None = None,
    shown: Callable[[ProjectionService, asyncio.Event], object] | None = None,
) -> int:
    """Run projections until told to stop, by SIGTERM or SIGINT.

    Args:
        settings: Everything.
        names: Which projections; none: all.
        control_socket: The file descriptor of the socket to its supervisor, which then answers health probes.
        shown: Called with the service once it runs, for who shows how far it has come.

    Returns:
        The exit status: 0.

    Raises:
        SettingsError: An address is missing or wrong, or the port for health probes is taken.
        ProjectionError, StoreUnavailable, StoreMisconfigured: As ``opened``.
    """
    configure_logs(settings.worker_log_format, settings.worker_log_level)
    telemetry = Telemetry.start()
    try:
        with stop_signals() as (stop, hurry):
            async with (
                supervised(control_socket, stop=stop, hurry=hurry) as channel,
                opened(settings, names) as service,
            ):
                port = None if channel.is_open else settings.worker_health_port
                async with (
                    health_served(settings.worker_health_host, port, service.health),
                    channel.reporting(health=service.health, figures=service.counts),
                ):
                    with observed(service.figures):
                        if shown is not None:
                            shown(service, stop)
                        _log.info("projecting")
                        await service.serve(stop)
                        # While the counts can still be observed.
                        await asyncio.to_thread(telemetry.stop)
                    return 0
    finally:
        await asyncio.to_thread(telemetry.stop)
