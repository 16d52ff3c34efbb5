"""The service: a worker process, from its settings to its exit status."""

import asyncio
import gc
import logging
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

from eventstore import EventStore
from eventstore.postgres import PostgresEventStore
from handlers.domain import Domain
from handlers.registry import load_domains
from worker.amqp.codec import install_lenient_codec
from worker.amqp.connection import broker_address
from worker.amqp.consumer import Consumer
from worker.amqp.sender import Sender
from worker.amqp.shard_consumer import ShardConsumer
from worker.capacity import check_capacity
from worker.counters import Counters
from worker.isolation.isolator import Isolator
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.replies import Replies
from worker.rounds.scheduler import Scheduler
from worker.rounds.settler import Settler
from worker.rounds.watchdog import Watchdog
from worker.settings import Settings
from worker.supervision.control_socket import WorkerChannel, supervised
from worker.supervision.health import Health
from worker.supervision.health_server import health_served
from worker.supervision.signals import stop_signals
from worker.telemetry.logs import configure_logs
from worker.telemetry.metrics import observed
from worker.telemetry.providers import Telemetry
from worker.topology import Topology

__all__ = ["Service", "run"]

_log = logging.getLogger(__name__)

# So many more objects made than freed begin a collection; by default, a few commands at a time would.
_YOUNG_OBJECTS = 20_000


class Service:
    """Serves domains from queues: a consumer, a settler and a scheduler for each, and what they share.

    Args:
        store: Where decisions are read from and recorded.
        domains: Whose commands to serve.
        settings: Everything else.
    """

    def __init__(self, store: EventStore, domains: Sequence[Domain], settings: Settings) -> None:
        self.counters = Counters()
        self._settings = settings
        self._store = store
        # An append of nothing, unconditionally, needs all that a command needs of the primary, and leaves nothing.
        self._breaker = CircuitBreaker(lambda: store.append(()))
        # What may be refused for good, or is large, keeps no reply waiting.
        self._sender = Sender(settings.amqp_url, name="worker retries, dead letters")
        self._answers = Sender(settings.amqp_url, name="worker replies")
        self._direct_answers = Sender(settings.amqp_url, name="worker direct replies")
        self._replies = Replies(
            self._answers, self._direct_answers, self.counters, timeout=settings.worker_reply_timeout
        )
        self._watchdog = Watchdog()
        self._isolator = Isolator(settings, self.counters, probe=lambda: store.append(()))
        # One long history at a time, whichever domain asks for it: its rows and its folding take memory and the loop.
        long_reads = asyncio.Lock()
        self._schedulers = [
            Scheduler(
                store, domain, settings, self.counters, self._watchdog, breaker=self._breaker, long_reads=long_reads
            )
            for domain in domains
        ]
        self._settlers = [
            self._settler(scheduler, domain) for scheduler, domain in zip(self._schedulers, domains, strict=True)
        ]
        self._consumers = [
            self._consumer(settler, domain) for settler, domain in zip(self._settlers, domains, strict=True)
        ]
        self._draining = False

    @property
    def is_consuming(self) -> bool:
        """Whether every domain's deliveries can come in."""
        return all(consumer.is_consuming for consumer in self._consumers)

    @property
    def is_paused(self) -> bool:
        """Whether work rests because the database does not answer."""
        return self._breaker.is_open

    @property
    def kept_states(self) -> int:
        """How many folded states are kept."""
        return sum(scheduler.kept_states for scheduler in self._schedulers)

    def health(self) -> Health:
        """Judge whether this worker does what it is there for."""
        if self._draining:
            return Health(live=True, ready=False, reason="draining")
        if self.is_paused:
            return Health(live=True, ready=False, reason="paused until the database answers")
        interrupted = max(self._consumers, key=lambda consumer: consumer.interrupted_for)
        if interrupted.is_consuming:
            trouble = next((settler.trouble for settler in self._settlers if settler.trouble is not None), None)
            return Health(live=True, ready=trouble is None, reason=trouble or "consuming")
        seconds = interrupted.interrupted_for
        return Health(
            live=seconds <= self._settings.worker_health_grace,
            ready=False,
            reason=f"{interrupted.queue} has not been consumed for {seconds:.0f} s",
        )

    async def start(self) -> None:
        """Connect, declare the topology, and begin to consume.

        Raises:
            BrokerUnavailable: The broker does not answer.
            BrokerMisconfigured: The broker refuses us.
        """
        install_lenient_codec()
        await self._sender.open()
        await self._answers.open()
        for consumer in self._consumers:
            await consumer.start()

    async def serve(self) -> None:
        """Keep consuming, through every interruption, until cancelled."""
        async with self._watchdog.watching(), asyncio.TaskGroup() as group:
            for consumer in self._consumers:
                group.create_task(consumer.keep_consuming())

    async def drain(self) -> int:
        """Stop consuming, return what has not started or waits for the database, and let what has started finish.

        Returns:
            How many commands had started and did not finish within the deadline. The broker delivers them again.
        """
        self._draining = True
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        deadline = self._settings.worker_drain_deadline
        try:
            return sum(await asyncio.gather(*(settler.drain(deadline) for settler in self._settlers)))
        finally:
            await asyncio.gather(*(consumer.flush() for consumer in self._consumers))

    async def close(self) -> None:
        """Close every connection. What is unsettled goes back to the broker."""
        await asyncio.gather(*(settler.close() for settler in self._settlers))
        await self._isolator.close()
        await self._breaker.close()
        await asyncio.gather(*(consumer.close() for consumer in self._consumers))
        await asyncio.gather(*(sender.close() for sender in (self._sender, self._answers, self._direct_answers)))

    def _settler(self, scheduler: Scheduler, domain: Domain) -> Settler:
        host, _, port = broker_address(self._settings.amqp_url).rpartition(":")
        return Settler(
            scheduler,
            Topology.of(domain),
            store=self._store,
            sender=self._sender,
            replies=self._replies,
            isolator=self._isolator,
            breaker=self._breaker,
            counters=self.counters,
            settings=self._settings,
            server=(host, int(port)),
        )

    def _consumer(self, settler: Settler, domain: Domain) -> Consumer | ShardConsumer:
        topology = Topology.of(domain)
        kind = Consumer if topology.shards is None else ShardConsumer
        return kind(
            self._settings.amqp_url,
            topology,
            prefetch=self._settings.prefetch,
            counters=self.counters,
            deliver=settler.take,
            may_begin=self._breaker.closed,
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
        SettingsError: A telemetry variable is wrong, or the port for health probes is taken.
        DomainNotFound: A domain cannot be imported.
        StoreUnavailable, StoreMisconfigured: The database cannot be used as it is.
        BrokerUnavailable, BrokerMisconfigured: The broker cannot be used as it is.
    """
    configure_logs(settings.worker_log_format, settings.worker_log_level)
    domains = load_domains(settings.worker_domains)
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
    await check_capacity(settings, processes)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            PostgresEventStore.connect(
                settings.database_url,
                replica_urls=settings.database_replica_urls,
                pool_size=settings.pool_size,
                application_name="worker",
            )
        )
        service = Service(store, domains, settings)
        stack.push_async_callback(service.close)
        stack.enter_context(
            observed(service.counters, is_paused=lambda: service.is_paused, kept_states=lambda: service.kept_states)
        )
        # While the counts can still be observed.
        stack.push_async_callback(asyncio.to_thread, telemetry.stop)
        port = None if channel.is_open else settings.worker_health_port
        await stack.enter_async_context(health_served(settings.worker_health_host, port, service.health))
        await service.start()
        started.set()
        # A supervisor takes the first report for the proof that we could start.
        await stack.enter_async_context(channel.reporting(health=service.health, figures=service.counters.report))
        _relax_garbage_collection()
        _log.info("consuming %s", ", ".join(Topology(domain.name).queue for domain in domains))
        return await _serve(service, stop, hurry)


async def _serve(service: Service, stop: asyncio.Event, hurry: asyncio.Event) -> int:
    serving = asyncio.create_task(service.serve())
    try:
        await _until(serving, stop)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    _log.info("draining")
    draining = asyncio.create_task(service.drain())
    await _until(draining, hurry)
    draining.cancel()
    (abandoned,) = await asyncio.gather(draining, return_exceptions=True)
    complete = abandoned == 0
    figures = ", ".join(f"{name} {count}" for name, count in service.counters.report().items())
    _log.info("%s: %s", "drained" if complete else "stopped before everything had finished", figures)
    return 0 if complete else 1


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
