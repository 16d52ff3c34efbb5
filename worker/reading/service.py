"""The service of followers: opens everything that a process needs to run them, from its settings."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventstore import EventStoreError
from eventstore.postgres import PostgresEventStore, Schema, Session
from worker.errors import SettingsError
from worker.failures import naming
from worker.leased_service import LeasedPart, LeasedService
from worker.reading.complaints import complaint
from worker.reading.coordinator import Coordinator
from worker.reading.declared import PROJECTION, RELAY, Target, sends, targets_of
from worker.reading.metrics import observed
from worker.served_domains import served_domains
from worker.settings import Settings, not_set

if TYPE_CHECKING:
    from worker.reading.outlet import BrokerConnections

__all__ = ["POOL_SIZE", "RunRequest", "opened"]

# How often the log is polled for new events, in seconds: a small part of the time that a reader may lag.
_FOLLOW_SECONDS = 0.1
POOL_SIZE = 4
"""The most connections to each server of a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a process is to run.

    Attributes:
        names: The names of followers, as ``name`` or ``domain.name``; empty for all.
        kinds: The kinds of followers.
        command: The command that was typed.
        doing: The activity, in a word, for log and health.
        schedules: Whether the schedules of all domains are run as well. Then there may be no followers.
    """

    names: tuple[str, ...] = ()
    kinds: Collection[str] = (PROJECTION,)
    command: str = "worker project"
    doing: str = "projecting"
    schedules: bool = False


@asynccontextmanager
async def opened(settings: Settings, wanted: RunRequest) -> AsyncIterator[LeasedService]:
    """Open the stores, databases and the broker for what is wanted, and register missing followers with their tables.

    Args:
        settings: The worker's settings.
        wanted: What to run.

    Raises:
        FollowerError: A name is unknown, or a follower cannot be run with its declaration or its database.
        ScheduleError: Schedules cannot be run with the database.
        StoreUnavailable, StoreMisconfigured: A database cannot be reached, or cannot be used as it is.
        BrokerMisconfigured: The broker refuses the connection or a declaration.
        SettingsError: An address is missing or wrong.
    """
    targets = targets_of(settings, wanted.names, kinds=wanted.kinds, may_be_none=wanted.schedules)
    async with AsyncExitStack() as stack:
        coordinators = await _coordinators(settings, wanted, targets, stack)
        parts: list[LeasedPart] = [*coordinators]
        if wanted.schedules:
            from worker.schedule.service import schedules  # noqa: PLC0415  it needs the AMQP library

            parts += await stack.enter_async_context(schedules(settings))
        figures = [coordinator.figures for coordinator in coordinators]
        with observed(lambda: [each for asked in figures for each in asked()]):
            yield LeasedService(parts, doing=wanted.doing)


async def _coordinators(
    settings: Settings, wanted: RunRequest, targets: Sequence[Target], stack: AsyncExitStack
) -> list[Coordinator]:
    """Return the coordinator of each log's followers; the stack closes them."""
    outlet = await _outlet(settings, targets, wanted, stack)
    coordinators = []
    for target in targets:
        with naming(target.store.variable("database_url")):
            store = await stack.enter_async_context(
                PostgresEventStore.connect(
                    target.store.database_url,
                    schema=target.store.database_schema,
                    replica_urls=target.store.database_replica_urls,
                    pool_size=POOL_SIZE,
                    follow_seconds=_FOLLOW_SECONDS,
                    application_name=wanted.command,
                    writable=False,
                )
            )
        coordinator = Coordinator(target.declared, store, _sessions(target), outlet=outlet, purpose=wanted.command)
        stack.push_async_callback(coordinator.close)
        try:
            with naming(target.variable):
                await coordinator.open()
        except EventStoreError as error:
            raise complaint(error, Schema(target.store.database_schema)) from error
        coordinators.append(coordinator)
    return coordinators


async def _outlet(
    settings: Settings, targets: Sequence[Target], wanted: RunRequest, stack: AsyncExitStack
) -> "BrokerConnections | None":
    if not any(map(sends, targets)):
        return None
    from worker.reading.outlet import BrokerConnections  # noqa: PLC0415  it needs the AMQP library, and projections do not

    if not settings.amqp_url:
        raise SettingsError(not_set("amqp_url"))
    outlet = BrokerConnections(
        settings.amqp_url,
        name=wanted.command,
        domains={domain.name: domain for domain in served_domains(settings)},
        source=settings.relay_source,
        max_message_bytes=settings.worker_max_message_bytes,
    )
    stack.push_async_callback(outlet.close)
    relays = [each.name for target in targets for each in target.declared if each.name.kind == RELAY]
    return await outlet.open(dict.fromkeys(relay.domain for relay in relays))


def _sessions(target: Target) -> Callable[[str], Session]:
    return lambda purpose: Session(target.url, purpose=purpose, schema=target.store.database_schema)
