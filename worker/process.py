"""The process: runs a worker, from its settings to its exit status."""

import asyncio
import gc
import logging
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

from eventstore.postgres import PostgresEventStore
from handlers.domain import Domain
from worker.capacity import check_capacity
from worker.master_keys import check_master_keys
from worker.reporting.reporter import reporting
from worker.served_domains import served_domains
from worker.service import Service
from worker.settings import Settings
from worker.store_service import OpensStore
from worker.stores import StoreSettings, stores_of, unread
from worker.supervision.control_socket import WorkerChannel, supervised
from worker.supervision.health_server import health_served
from worker.supervision.signals import stop_signals
from worker.supervision.stop_times import StopTimes
from worker.telemetry.logs import configure_logs
from worker.telemetry.metrics import observed
from worker.telemetry.providers import Telemetry
from worker.waiting import first_of

__all__ = ["run"]

_log = logging.getLogger(__name__)

# Number of new objects that starts a garbage collection; with Python's default, a few commands would. It must not be
# much more: a domain's code may leave cycles behind with each command, and with them its body.
_YOUNG_OBJECTS = 20_000
# Shares of the time after the drain.
_TELEMETRY_SECONDS, _CLOSE_SECONDS = 5.0, 5.0


async def run(settings: Settings, *, processes: int = 1, control_socket: int | None = None) -> int:
    """Run a worker until it is stopped by SIGTERM or SIGINT. A second signal stops it at once.

    Args:
        settings: The worker's settings.
        processes: How many worker processes there are in all, to compare with the servers' connection limits.
        control_socket: File descriptor of the socket to its supervisor, which then answers health probes; None without
            one.

    Returns:
        The exit status: 0 after a complete drain, 1 if commands were left to the broker.

    Raises:
        SettingsError: A telemetry variable or a domain's address is wrong, or the port for health probes is taken.
        DomainNotFound: A domain cannot be imported.
        StoreUnavailable, StoreMisconfigured: The database cannot be reached, or cannot be used as it is.
        BrokerUnavailable, BrokerMisconfigured: The broker cannot be reached, or cannot be used as it is.
    """
    configure_logs(settings.worker_log_format, settings.worker_log_level)
    domains = served_domains(settings)
    for problem in (problem for domain in domains for problem in domain.examination.problems()):
        # Its older events may still hold such a field: that is reported, and does not prevent the start.
        _log.error("%s; `worker check` reports this, too", problem)
    check_master_keys(settings, domains)
    telemetry = Telemetry.start()
    try:
        with stop_signals() as (stop, hurry):
            async with supervised(control_socket, stop=stop, hurry=hurry) as channel:
                started = asyncio.Event()
                running = _run(
                    settings, domains, telemetry, channel, processes=processes, started=started, stop=stop, hurry=hurry
                )
                return await _unless_stopped(running, started=started, stop=stop)
    finally:
        await asyncio.to_thread(telemetry.stop)


async def _unless_stopped(run: Coroutine[Any, Any, int], *, started: asyncio.Event, stop: asyncio.Event) -> int:
    """Run; but cancel a start that is not finished when ``stop`` is set, whatever it waits for.

    Returns:
        The exit status; 0 if it had not started, since there is nothing to drain.
    """
    running = asyncio.create_task(run)
    try:
        await _until(running, started, stop)
        if not started.is_set():
            running.cancel()
        return await running
    except asyncio.CancelledError:
        if started.is_set() or not stop.is_set():
            raise
        _log.info("stopped before it had started")
        return 0
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _run(
    settings: Settings,
    domains: Sequence[Domain],
    telemetry: Telemetry,
    channel: WorkerChannel,
    *,
    processes: int,
    started: asyncio.Event,
    stop: asyncio.Event,
    hurry: asyncio.Event,
) -> int:
    stores = stores_of(settings, [domain.name for domain in domains])
    for name in unread(settings, [domain.name for domain in domains]):
        _log.warning("%s is for a domain that is not served here, and is ignored", name)
    await check_capacity(stores, settings.pool_size, processes)
    async with AsyncExitStack() as stack:
        service = Service([_served(store, domains, settings) for store in stores], settings)
        stack.push_async_callback(service.close)
        await service.open()
        stack.enter_context(
            observed(service.counters, paused=lambda: service.paused, kept_states=lambda: service.kept_states)
        )
        # Before the counts can no longer be observed.
        stack.push_async_callback(_stop_telemetry, telemetry, service.stop_times)
        port = None if channel.is_open else settings.worker_health_port
        await stack.enter_async_context(health_served(settings.worker_health_host, port, service.health))
        await service.start()
        started.set()
        await stack.enter_async_context(reporting(service, settings, patience=service.stop_times.left))
        # The supervisor takes the first report as proof that the start succeeded.
        await stack.enter_async_context(channel.reporting(health=service.health, figures=service.counters.report))
        _relax_garbage_collection()
        _log.info("consuming %s", ", ".join(service.queues))
        return await _serve(service, stop, hurry)


def _served(store: StoreSettings, domains: Sequence[Domain], settings: Settings) -> tuple[Sequence[Domain], OpensStore]:
    """Return the domains of a store, and the function that opens it."""
    return [domain for domain in domains if domain.name in store.domains], lambda: PostgresEventStore.connect(
        store.database_url,
        driver=store.database_driver,
        schema=store.database_schema,
        replica_urls=store.database_replica_urls,
        pool_size=settings.pool_size,
        application_name="worker",
    )


async def _serve(service: Service, stop: asyncio.Event, hurry: asyncio.Event) -> int:
    times = service.stop_times
    serving = asyncio.create_task(service.serve())
    try:
        await _until(serving, stop)
        times.begin()
    finally:
        serving.cancel()
        await asyncio.wait([asyncio.gather(serving, return_exceptions=True)], timeout=times.left(_CLOSE_SECONDS))
    _log.info("draining")
    draining = asyncio.create_task(service.drain())
    await _until(draining, hurry)
    times.hurry()
    draining.cancel()
    ended = asyncio.gather(draining, return_exceptions=True)
    await asyncio.wait([ended], timeout=times.left())
    complete = ended.done() and list(ended.result()) == [0]
    counters = service.counters
    how = "drained" if complete else "stopped before everything had finished"
    _log.info("%s: %s", how, counters.told(), extra={"data": {"figures": counters.report()}})
    return 0 if complete else 1


async def _stop_telemetry(telemetry: Telemetry, times: StopTimes) -> None:
    await asyncio.to_thread(telemetry.stop, times.left(_TELEMETRY_SECONDS))


def _relax_garbage_collection() -> None:
    """Collect cycles less often. Objects of imports and of the start stay; those of a command rarely need it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


async def _until(task: asyncio.Task[Any], *signals: asyncio.Event) -> None:
    """Wait for one of the signals, or for the task if it ends first; then raise its error, if any."""
    await first_of(*signals, tasks=[task])
    if task.done():
        task.result()
