"""The service of schedules: opens everything that a process needs to store and send commands, from its settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from eventstore.postgres import Session
from worker.amqp.codec import install_lenient_codec
from worker.amqp.sender import Sender
from worker.counters import Counters
from worker.errors import SettingsError
from worker.failures import naming
from worker.leased_service import LeasedService
from worker.reading.lease import Candidate
from worker.rounds.replies import Replies
from worker.schedule.metrics import observed
from worker.schedule.schedule import Schedule
from worker.schedule.scheduled import ScheduledCommands
from worker.served_domains import served_domains
from worker.settings import Settings, not_set
from worker.stores import stores_of
from worker.topology import Topology

__all__ = ["opened", "schedules"]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[LeasedService]:
    """Open what the schedules of all domains need, and nothing else. Raises the errors of ``schedules``."""
    async with schedules(settings) as each:
        yield LeasedService(each, doing="scheduling")


@asynccontextmanager
async def schedules(settings: Settings) -> AsyncIterator[list[Schedule]]:
    """Open the databases and the broker for the schedules of all domains, and declare missing queues.

    Args:
        settings: The worker's settings.

    Raises:
        SettingsError: An address is missing or wrong.
        ScheduleError, StoreUnavailable, StoreMisconfigured: A database cannot be reached, or cannot be used as it is.
        BrokerMisconfigured: The broker cannot be used as it is. It may be down: then it is used later.
    """
    if not settings.amqp_url:
        raise SettingsError(not_set("amqp_url"))
    install_lenient_codec()
    domains = {domain.name: domain for domain in served_domains(settings)}
    async with AsyncExitStack() as stack:
        sender, answers, direct = (
            Sender(settings.amqp_url, name=f"worker schedule{what}") for what in ("", " replies", " direct replies")
        )
        for each in (sender, answers, direct):
            stack.push_async_callback(each.close)
        replies = Replies(answers, direct, Counters(), timeout=settings.worker_reply_timeout)
        made = []
        for store in stores_of(settings, list(domains)):
            for name in store.domains:
                # A session for each domain: a statement that waits delays no other domain.
                session = Session(store.database_url, purpose=f"worker schedule: {name}", schema=store.database_schema)
                commands = ScheduledCommands(session)
                stack.push_async_callback(commands.close)
                schedule = Schedule(
                    Topology.of(domains[name], has_schedule=True),
                    commands,
                    url=settings.amqp_url,
                    sender=sender,
                    replies=replies,
                    # One for each: followers of two databases may have the same number.
                    candidate=Candidate(),
                    most_bytes=settings.worker_max_message_bytes,
                )
                with naming(store.variable("database_url")):
                    await schedule.open()
                made.append(schedule)
        with observed(schedule.tally for schedule in made):
            yield made
