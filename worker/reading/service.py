"""The service of what follows the log: a process that runs it, from its settings to its exit status."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventstore import EventStoreError
from eventstore.postgres import PostgresEventStore, Schema, Session
from worker.errors import SettingsError
from worker.reading.complaints import complaint
from worker.reading.coordinator import Coordinator
from worker.reading.declared import PROJECTION, Target, sends, targets_of
from worker.reading.metrics import Figures, observed
from worker.served_domains import served_domains
from worker.settings import Settings, not_set
from worker.supervision.control_socket import supervised
from worker.supervision.health import Health
from worker.supervision.health_server import health_served
from worker.supervision.signals import stop_signals
from worker.telemetry.logs import configure_logs
from worker.telemetry.providers import Telemetry

if TYPE_CHECKING:
    from worker.reading.outlet import Outlet

__all__ = ["FollowerService", "Wanted", "run"]

_log = logging.getLogger(__name__)

# How often the log is asked for what is new, in seconds: a small part of how late a reader may be.
_FOLLOW_SECONDS = 0.1
_POOL_SIZE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a process is to run.

    Attributes:
        names: Which, as ``name`` or ``domain.name``; none: all.
        kinds: Of which kinds.
        command: The command that a person has typed.
        doing: What it does, for its log and its health.
        may_be_none: Whether it waits where there is nothing to run, as beside domains that get something later.
    """

    names: tuple[str, ...] = ()
    kinds: Collection[str] = (PROJECTION,)
    command: str = "worker project"
    doing: str = "projecting"
    may_be_none: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchingUp:
    """How far something has come.

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


class FollowerService:
    """Runs what follows one or several logs in one process.

    Args:
        coordinators: One for each log.
        doing: What it does, in a word.
    """

    def __init__(self, coordinators: Sequence[Coordinator], *, doing: str = "projecting") -> None:
        self._coordinators = tuple(coordinators)
        self._doing = doing
        self._idle = f"another process is {doing}" if self._coordinators else "there is nothing to do"
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
            reason="; ".join(troubles) or (f"{self._doing} {running}" if running else self._idle),
        )

    def figures(self) -> list[Figures]:
        """Return what is observed of each that this process runs."""
        return [
            Figures(
                kind=running.row.name.kind,
                name=str(running.row.name),
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
        return {"followed": sum(figures.events for figures in self.figures())}

    async def serve(self, stop: asyncio.Event) -> None:
        """Run them until told to stop; then roll back what is under way, and give the leases back."""
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
            # Without a type, it is no event but the whole log.
            by = f" by event {failure.number}" if failure.event_type else ""
            found.append(f"{running.row.name} is stopped{by}: {failure.error}")
        elif running.trouble is not None:
            found.append(f"{running.row.name}: {running.trouble}")
    return found


@asynccontextmanager
async def opened(settings: Settings, wanted: Wanted) -> AsyncIterator[FollowerService]:
    """Open logs, databases and the broker for what is wanted, and make what is missing of followers and tables.

    Args:
        settings: Everything.
        wanted: What is to be run.

    Raises:
        FollowerError: There is none of such a name, or one cannot be run as it is declared, or as the database is.
        StoreUnavailable, StoreMisconfigured: A database cannot be used now, or as it is.
        BrokerMisconfigured: The broker cannot be used as it is.
        SettingsError: An address is missing or wrong.
    """
    targets = targets_of(settings, wanted.names, kinds=wanted.kinds, may_be_none=wanted.may_be_none)
    if not targets:
        _log.warning("no domain of WORKER_DOMAINS has a projection, a reaction or a relay: there is nothing to do")
    async with AsyncExitStack() as stack:
        outlet = await _outlet(settings, targets, wanted, stack)
        coordinators = []
        for target in targets:
            store = await stack.enter_async_context(
                PostgresEventStore.connect(
                    target.store.database_url,
                    schema=target.store.database_schema,
                    replica_urls=target.store.database_replica_urls,
                    pool_size=_POOL_SIZE,
                    follow_seconds=_FOLLOW_SECONDS,
                    application_name=wanted.command,
                    writable=False,
                )
            )
            coordinator = Coordinator(target.declared, store, _sessions(target), outlet=outlet, purpose=wanted.command)
            stack.push_async_callback(coordinator.close)
            try:
                await coordinator.open()
            except EventStoreError as error:
                raise complaint(error, Schema(target.store.database_schema)) from error
            coordinators.append(coordinator)
        yield FollowerService(coordinators, doing=wanted.doing)


async def _outlet(
    settings: Settings, targets: Sequence[Target], wanted: Wanted, stack: AsyncExitStack
) -> "Outlet | None":
    if not any(map(sends, targets)):
        return None
    from worker.reading.outlet import Outlet  # noqa: PLC0415  it needs the broker's library, and projections do not

    if not settings.amqp_url:
        raise SettingsError(not_set("amqp_url"))
    outlet = Outlet(
        settings.amqp_url,
        name=wanted.command,
        domains={domain.name: domain for domain in served_domains(settings)},
        source=settings.relay_source,
        max_message_bytes=settings.worker_max_message_bytes,
    )
    stack.push_async_callback(outlet.close)
    return await outlet.open()


def _sessions(target: Target) -> Callable[[str], Session]:
    return lambda purpose: Session(target.url, purpose=purpose, schema=target.store.database_schema)


async def run(
    settings: Settings,
    wanted: Wanted,
    *,
    control_socket: int | None = None,
    shown: Callable[[FollowerService, asyncio.Event], object] | None = None,
) -> int:
    """Run what follows the log until told to stop, by SIGTERM or SIGINT.

    Args:
        settings: Everything.
        wanted: What is to be run.
        control_socket: The file descriptor of the socket to its supervisor, which then answers health probes.
        shown: Called with the service once it runs, for who shows how far it has come.

    Returns:
        The exit status: 0.

    Raises:
        SettingsError: An address is missing or wrong, or the port for health probes is taken.
        FollowerError, StoreUnavailable, StoreMisconfigured, BrokerMisconfigured: As ``opened``.
    """
    configure_logs(settings.worker_log_format, settings.worker_log_level)
    telemetry = Telemetry.start()
    try:
        with stop_signals() as (stop, hurry):
            async with (
                supervised(control_socket, stop=stop, hurry=hurry) as channel,
                opened(settings, wanted) as service,
            ):
                port = None if channel.is_open else settings.worker_health_port
                async with (
                    health_served(settings.worker_health_host, port, service.health),
                    channel.reporting(health=service.health, figures=service.counts),
                ):
                    with observed(service.figures):
                        if shown is not None:
                            shown(service, stop)
                        _log.info("%s", wanted.doing)
                        await service.serve(stop)
                        # While the counts can still be observed.
                        await asyncio.to_thread(telemetry.stop)
                    return 0
    finally:
        await asyncio.to_thread(telemetry.stop)
