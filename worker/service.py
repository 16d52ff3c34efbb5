"""The service: a worker process, from its settings to its exit status."""

import asyncio
import gc
import logging
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from eventstore import StoreUnavailable
from eventstore.postgres import PostgresEventStore
from handlers.domain import Domain
from worker.amqp.codec import install_lenient_codec
from worker.amqp.sender import Sender
from worker.capacity import check_capacity
from worker.counters import Counters
from worker.master_keys import check_master_keys
from worker.rounds.replies import Replies
from worker.rounds.watchdog import Watchdog
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.store_service import OpensStore, SharedParts, StoreService
from worker.stores import StoreSettings, stores_of, unread
from worker.supervision.control_socket import WorkerChannel, supervised
from worker.supervision.health import Health
from worker.supervision.health_server import health_served
from worker.supervision.signals import stop_signals
from worker.supervision.stop_times import StopTimes
from worker.telemetry.logs import configure_logs
from worker.telemetry.metrics import observed
from worker.telemetry.providers import Telemetry

__all__ = ["Service", "run"]

_log = logging.getLogger(__name__)

# So many more objects made than freed begin a collection; by default, a few commands at a time would.
_YOUNG_OBJECTS = 20_000
# Of the time after the drain.
_FLUSH_SECONDS, _TELEMETRY_SECONDS, _CLOSE_SECONDS = 2.0, 5.0, 5.0


class Service:
    """Serves domains from queues: by a ``StoreService`` for each store that they have their events in.

    Args:
        stores: The domains of each store, and what opens it.
        settings: Everything else.

    Attributes:
        counters: Where everything is counted.
        stop_times: By when it has drained, and by when it is closed.
    """

    def __init__(self, stores: Sequence[tuple[Sequence[Domain], OpensStore]], settings: Settings) -> None:
        self.counters = Counters()
        self.stop_times = StopTimes(drain=settings.worker_drain_deadline)
        # What may be refused for good, or is large, keeps no reply waiting.
        self._sender = Sender(settings.amqp_url, name="worker retries, dead letters")
        self._answers = Sender(settings.amqp_url, name="worker replies")
        self._direct_answers = Sender(settings.amqp_url, name="worker direct replies")
        self._watchdog = Watchdog()
        shared = SharedParts(
            settings=settings,
            counters=self.counters,
            watchdog=self._watchdog,
            sender=self._sender,
            replies=Replies(self._answers, self._direct_answers, self.counters, timeout=settings.worker_reply_timeout),
        )
        self._stores = [StoreService(domains, opens, shared, is_alone=len(stores) == 1) for domains, opens in stores]
        self._draining = False

    @property
    def is_consuming(self) -> bool:
        """Whether every domain's deliveries can come in."""
        return all(store.is_consuming for store in self._stores)

    @property
    def queues(self) -> list[str]:
        """What it consumes: the queues of the domains whose store has answered."""
        return [consumer.queue for store in self._stores for consumer in store.consumers]

    @property
    def is_paused(self) -> bool:
        """Whether the work of any domain rests because its database does not answer."""
        return any(store.is_paused for store in self._stores)

    @property
    def paused(self) -> dict[str, bool]:
        """Whether each domain's work rests because its database does not answer, by the domain's name."""
        return {domain.name: store.is_paused for store in self._stores for domain in store.domains}

    @property
    def kept_states(self) -> int:
        """How many folded states are kept."""
        return sum(scheduler.kept_states for store in self._stores for scheduler in store.schedulers)

    def health(self) -> Health:
        """Judge whether this worker does what it is there for: with every store."""
        if self._draining:
            return Health(live=True, ready=False, reason="draining")
        found = [(store.name, store.health()) for store in self._stores]
        if len(found) == 1:
            return found[0][1]
        troubles = [f"{name}: {health.reason}" for name, health in found if not health.ready]
        return Health(
            live=all(health.live for _, health in found),
            ready=not troubles,
            reason="; ".join(troubles) or "consuming",
        )

    async def open(self) -> None:
        """Open the stores. One that does not answer is waited for by ``serve``, if another one does.

        Raises:
            StoreUnavailable: None answers.
            StoreMisconfigured: One cannot be used as it is.
        """
        failures = await asyncio.gather(*(store.open() for store in self._stores), return_exceptions=True)
        raised = [failure for failure in failures if failure is not None]
        for failure in raised:
            if len(raised) == len(self._stores) or not isinstance(failure, StoreUnavailable):
                raise failure
        for store, reason in zip(self._stores, failures, strict=True):
            if reason is not None:
                _log.warning("%s: paused: %s", store.name, reason)

    async def start(self) -> None:
        """Connect to the broker, declare the topology, and begin to consume for the stores that are open.

        Raises:
            BrokerUnavailable: The broker does not answer.
            BrokerMisconfigured: The broker refuses us.
        """
        install_lenient_codec()
        await self._sender.open()
        await self._answers.open()
        for store in self._stores:
            await store.start()

    async def serve(self) -> None:
        """Keep consuming, through every interruption, until cancelled."""
        async with self._watchdog.watching(), asyncio.TaskGroup() as group:
            for store in self._stores:
                group.create_task(store.serve())

    async def drain(self) -> int:
        """Stop consuming, return what has not started or waits for the database, and let what has started finish.

        Returns:
            How many commands had started and did not finish within the deadline. The broker delivers them again.
        """
        self._draining = True
        until = self.stop_times.begin()
        try:
            # A broker that does not answer leaves time for those that have started.
            with suppress(TimeoutError):
                async with asyncio.timeout((until - asyncio.get_running_loop().time()) / 2):
                    await asyncio.gather(*(store.stop_consuming() for store in self._stores))
            return sum(await asyncio.gather(*(store.drain(until) for store in self._stores)))
        finally:
            # Also in a hurry: every delivery is accounted for by then.
            await asyncio.gather(*(store.stop() for store in self._stores))
            # A broker that reads nothing takes no acknowledgement.
            with suppress(TimeoutError):
                async with asyncio.timeout(self.stop_times.left(_FLUSH_SECONDS)):
                    await asyncio.gather(*(store.flush() for store in self._stores))

    async def close(self) -> None:
        """Close every connection. What is unsettled goes back to the broker."""
        senders = (self._sender, self._answers, self._direct_answers)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.stop_times.left()):
                await asyncio.gather(*(store.stop() for store in self._stores))
                async with asyncio.timeout(self.stop_times.left(_CLOSE_SECONDS)):
                    await asyncio.gather(
                        *(store.close() for store in self._stores),
                        *(sender.close() for sender in senders),
                    )


async def run(settings: Settings, *, processes: int = 1, control_socket: int | None = None) -> int:
    """Run a worker until it is told to stop, by SIGTERM or SIGINT. A second signal stops it at once.

    Args:
        settings: Everything.
        processes: How many processes like this one there are to be, for the servers' limits.
        control_socket: The file descriptor of the socket to its supervisor, which then answers health probes.

    Returns:
        The exit status: 0 after a complete drain, 1 when commands were left to the broker.

    Raises:
        SettingsError: A telemetry variable or a domain's address is wrong, or the port for health probes is taken.
        DomainNotFound: A domain cannot be imported.
        StoreUnavailable, StoreMisconfigured: The database cannot be used as it is.
        BrokerUnavailable, BrokerMisconfigured: The broker cannot be used as it is.
    """
    configure_logs(settings.worker_log_format, settings.worker_log_level)
    domains = served_domains(settings)
    for problem in (problem for domain in domains for problem in domain.problems()):
        # Its older events may still hold such a field: it is for a person to tell, and no reason not to start.
        _log.error("%s; `worker check` tells this, too", problem)
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
    """Run; but give up a start that has not come to its end when ``stop`` is set, whatever it waits for.

    Returns:
        The exit status. What has not started has nothing to drain: 0.
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
        _log.warning("%s is for no domain that is served here, and is not read", name)
    await check_capacity(stores, settings.pool_size, processes)
    async with AsyncExitStack() as stack:
        service = Service([_served(store, domains, settings) for store in stores], settings)
        stack.push_async_callback(service.close)
        await service.open()
        stack.enter_context(
            observed(service.counters, paused=lambda: service.paused, kept_states=lambda: service.kept_states)
        )
        # While the counts can still be observed.
        stack.push_async_callback(_stop_telemetry, telemetry, service.stop_times)
        port = None if channel.is_open else settings.worker_health_port
        await stack.enter_async_context(health_served(settings.worker_health_host, port, service.health))
        await service.start()
        started.set()
        # A supervisor takes the first report for the proof that we could start.
        await stack.enter_async_context(channel.reporting(health=service.health, figures=service.counters.report))
        _relax_garbage_collection()
        _log.info("consuming %s", ", ".join(service.queues))
        return await _serve(service, stop, hurry)


def _served(store: StoreSettings, domains: Sequence[Domain], settings: Settings) -> tuple[Sequence[Domain], OpensStore]:
    """Return the domains of a store, and what opens it."""
    return [domain for domain in domains if domain.name in store.domains], lambda: PostgresEventStore.connect(
        store.database_url,
        driver=store.database_driver,
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
    """Look for cycles less often. What was imported and opened stays; what a command makes is mostly freed without."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


async def _until(task: asyncio.Task[Any], *signals: asyncio.Event) -> None:
    """Wait for one of the signals, or for the task if it ends first; raise what the task raised."""
    waiters = [asyncio.create_task(signal.wait()) for signal in signals]
    try:
        await asyncio.wait({task, *waiters}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
    if task.done():
        task.result()
