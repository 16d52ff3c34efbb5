"""The service of schedules: a process that stores and sends, from its settings to its exit status."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from eventstore.postgres import Session
from worker.amqp.codec import install_lenient_codec
from worker.amqp.sender import Sender
from worker.counters import Counters
from worker.rounds.replies import Replies
from worker.schedule.metrics import Figures, observed
from worker.schedule.schedule import Schedule
from worker.schedule.scheduled import ScheduledCommands
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.stores import stores_of
from worker.supervision.control_socket import supervised
from worker.supervision.health import Health
from worker.supervision.health_server import health_served
from worker.supervision.signals import stop_signals
from worker.telemetry.logs import configure_logs
from worker.telemetry.providers import Telemetry
from worker.topology import Topology

__all__ = ["ScheduleService", "opened", "run"]

_log = logging.getLogger(__name__)

# Something that is due for longer than this is not on its way.
_LATE_SECONDS = 30.0


class ScheduleService:
    """Runs the schedules of one or several domains in one process.

    Args:
        schedules: One for each domain.
    """

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self._schedules = tuple(schedules)
        self._draining = False

    def health(self) -> Health:
        """Judge it: ready while it can store and send. It waits for what comes back, so it stays live."""
        if self._draining:
            return Health(live=True, ready=False, reason="draining")
        troubles = [trouble for schedule in self._schedules for trouble in _troubles(schedule)]
        running = sum(schedule.is_running for schedule in self._schedules)
        return Health(
            live=True,
            ready=not troubles,
            reason="; ".join(troubles) or (f"scheduling {running}" if running else "another process schedules"),
        )

    def figures(self) -> list[Figures]:
        """Return what is observed of each schedule that this process runs, or has run."""
        return [
            Figures(
                domain=schedule.domain,
                stored=schedule.tally.stored,
                cancelled=schedule.tally.cancelled,
                sent=schedule.tally.sent,
                late=schedule.tally.late,
            )
            for schedule in self._schedules
        ]

    def counts(self) -> Mapping[str, int]:
        """Return what a supervisor logs at the end."""
        figures = self.figures()
        return {
            "stored": sum(each.stored for each in figures),
            "cancelled": sum(each.cancelled for each in figures),
            "sent": sum(each.sent for each in figures),
        }

    async def serve(self, stop: asyncio.Event) -> None:
        """Run schedules until told to stop; then give the leases back. What is not acknowledged comes again."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(schedule.serve()) for schedule in self._schedules]
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait({*tasks, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            self._draining = True
            for task in tasks:
                task.cancel()


def _troubles(schedule: Schedule) -> list[str]:
    found = [f"{schedule.domain}: {trouble}" for trouble in schedule.troubles]
    if schedule.tally.late > _LATE_SECONDS and not found:
        found.append(f"{schedule.domain}: a command has been due for {schedule.tally.late:.0f} s, and is not sent")
    return found


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[ScheduleService]:
    """Open the databases and the broker for the schedules of all domains, and make the queues that are missing.

    Raises:
        SettingsError: An address is missing or wrong.
        ScheduleError, StoreUnavailable, StoreMisconfigured: A database cannot be used now, or as it is.
        BrokerUnavailable, BrokerMisconfigured: Nor can the broker.
    """
    install_lenient_codec()
    domains = {domain.name: domain for domain in served_domains(settings)}
    owner = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        sender, answers, direct = (
            Sender(settings.amqp_url, name=f"worker schedule{what}") for what in ("", " replies", " direct replies")
        )
        for each in (sender, answers, direct):
            stack.push_async_callback(each.close)
        replies = Replies(answers, direct, Counters(), timeout=settings.worker_reply_timeout)
        schedules = []
        for store in stores_of(settings, list(domains)):
            for name in store.domains:
                # One each: a statement that waits holds up no other domain.
                session = Session(store.database_url, purpose=f"worker schedule: {name}", schema=store.database_schema)
                commands = ScheduledCommands(session)
                stack.push_async_callback(commands.close)
                schedule = Schedule(
                    Topology.of(domains[name], has_schedule=True),
                    commands,
                    url=settings.amqp_url,
                    sender=sender,
                    replies=replies,
                    owner=owner,
                    most_bytes=settings.worker_max_message_bytes,
                )
                await schedule.open()
                schedules.append(schedule)
        yield ScheduleService(schedules)


async def run(settings: Settings, *, control_socket: int | None = None) -> int:
    """Run the schedules of all domains until told to stop, by SIGTERM or SIGINT.

    Args:
        settings: Everything.
        control_socket: The file descriptor of the socket to its supervisor, which then answers health probes.

    Returns:
        The exit status: 0.

    Raises:
        SettingsError: An address is missing or wrong, or the port for health probes is taken.
        ScheduleError, StoreUnavailable, StoreMisconfigured, BrokerUnavailable, BrokerMisconfigured: As ``opened``.
    """
    configure_logs(settings.worker_log_format, settings.worker_log_level)
    telemetry = Telemetry.start()
    try:
        with stop_signals() as (stop, hurry):
            async with (
                supervised(control_socket, stop=stop, hurry=hurry) as channel,
                opened(settings) as service,
            ):
                port = None if channel.is_open else settings.worker_health_port
                async with (
                    health_served(settings.worker_health_host, port, service.health),
                    channel.reporting(health=service.health, figures=service.counts),
                ):
                    with observed(service.figures):
                        _log.info("scheduling")
                        await service.serve(stop)
                        # While the counts can still be observed.
                        await asyncio.to_thread(telemetry.stop)
                    return 0
    finally:
        await asyncio.to_thread(telemetry.stop)
