"""The store service: serves the domains of one store, and waits for that store alone.

A process has one for each store. While a store does not answer, its domains are paused; others are not affected.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from eventstore import EventStore, EventStoreError, StoreUnavailable
from eventstore.backoff import Backoff
from handlers.domain import Domain
from worker.amqp.consumer import Consumer
from worker.amqp.refusals import broker_address
from worker.amqp.sender import Sender
from worker.amqp.shard_consumer import ShardConsumer
from worker.amqp.upkeep import keep_declared
from worker.counters import Counters
from worker.errors import BrokerError
from worker.isolation.isolator import Isolator
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.replies import Replies
from worker.rounds.scheduler import Scheduler
from worker.rounds.settler import Settler
from worker.rounds.watchdog import Watchdog
from worker.settings import Settings
from worker.supervision.health import Health
from worker.topology import Topology

__all__ = ["OpensStore", "SharedParts", "StoreService"]

_log = logging.getLogger(__name__)

OpensStore = Callable[[], AbstractAsyncContextManager[EventStore]]
"""Opens a store each time it is called, and closes it at the end of the ``async with``."""

_FIRST_REST, _LONGEST_REST = 0.5, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedParts:
    """The objects that all stores of a process share. None of them waits for a database.

    Attributes:
        settings: The worker's settings.
        counters: The process's counters.
        watchdog: Notified whenever a domain's code runs.
        sender: The connection that publishes retries and dead letters.
        replies: Sends replies.
    """

    settings: Settings
    counters: Counters
    watchdog: Watchdog
    sender: Sender
    replies: Replies


class StoreService:
    """A consumer, a settler and a scheduler for each domain of one store, and its circuit breaker.

    Args:
        domains: The domains whose events are in the store.
        opens: Opens the store.
        shared: The objects that all stores of the process share.
        is_alone: Whether the process has no other store, so that logs need not name it.

    Attributes:
        domains: The domains whose events are in the store.
        name: The domains' names, separated by commas.
        breaker: Open while the store does not answer.
        schedulers: One for each domain; empty until the store is open.
        settlers: One for each domain; empty until the store is open.
        consumers: One for each domain; empty until the store is open.
    """

    def __init__(
        self, domains: Sequence[Domain], opens: OpensStore, shared: SharedParts, *, is_alone: bool = True
    ) -> None:
        self.domains = tuple(domains)
        self.name = ", ".join(domain.name for domain in domains)
        self.breaker = CircuitBreaker(self.probe, name="" if is_alone else self.name)
        self.schedulers: list[Scheduler] = []
        self.settlers: list[Settler] = []
        self.consumers: list[Consumer | ShardConsumer] = []
        self._opens = opens
        self._shared = shared
        self._store: EventStore | None = None
        self._closing = AsyncExitStack()
        # One long history at a time, for all domains of the store: its rows take memory, and folding them takes the
        # loop. Not one lock for all stores: one that hangs must not block the others.
        self._long_reads = asyncio.Lock()
        self._isolator = Isolator(shared.settings, shared.counters, probe=self.probe)

    @property
    def is_open(self) -> bool:
        """Whether the store has answered since this process began."""
        return self._store is not None

    @property
    def is_paused(self) -> bool:
        """Whether work is paused because the database does not answer."""
        return self._store is None or self.breaker.is_open

    @property
    def is_consuming(self) -> bool:
        """Whether every domain's deliveries can arrive."""
        return self.is_open and all(consumer.is_consuming for consumer in self.consumers)

    async def probe(self) -> None:
        """Do in the store what commands need of it.

        An unconditional append of nothing needs all that a command needs of the primary, and leaves nothing behind.

        Raises:
            EventStoreError: The append failed.
        """
        if self._store is None:
            raise StoreUnavailable("the database has not answered since this process began")
        await self._store.append(())

    def health(self) -> Health:
        """Return the health of this store's domains."""
        if self.is_paused:
            return Health(live=True, ready=False, reason="paused until the database answers")
        interrupted = max(self.consumers, key=lambda consumer: consumer.interrupted_for)
        if interrupted.is_consuming:
            trouble = next((settler.trouble for settler in self.settlers if settler.trouble is not None), None)
            return Health(live=True, ready=trouble is None, reason=trouble or "consuming")
        seconds = interrupted.interrupted_for
        return Health(
            live=seconds <= self._shared.settings.worker_health_grace,
            ready=False,
            reason=f"{interrupted.queue} has not been consumed for {seconds:.0f} s",
        )

    async def open(self) -> None:
        """Open the store; does nothing if it is open.

        Raises:
            StoreUnavailable, StoreMisconfigured: It cannot be reached, or cannot be used as it is.
        """
        if self._store is None:
            self._store = store = await self._closing.enter_async_context(self._opens())
            for domain in self.domains:
                self._add(store, domain)

    async def start(self) -> None:
        """Begin to consume, if the store is open. Raises the errors of ``Service.start``."""
        for consumer in self.consumers:
            await consumer.start()

    async def serve(self) -> None:
        """Keep consuming, through every interruption, until cancelled; wait for the store first if it is not open."""
        if not self.is_open:
            await self._open_late()
        async with asyncio.TaskGroup() as group:
            for consumer in self.consumers:
                group.create_task(consumer.keep_consuming())
            for domain in self.domains:
                group.create_task(keep_declared(self._shared.sender, Topology.of(domain)))

    async def stop_consuming(self) -> None:
        """Stop all consumers. Deliveries that arrived can still be settled."""
        await asyncio.gather(*(consumer.stop() for consumer in self.consumers))

    async def drain(self, until: float) -> int:
        """Give back commands that have not started or wait for the database, and let the others finish.

        Args:
            until: When all of it must be over, on the event loop's clock, in seconds.

        Returns:
            How many commands had started and did not finish by then.
        """
        return sum(await asyncio.gather(*(settler.drain(until) for settler in self.settlers)))

    async def flush(self) -> None:
        """Wait until every acknowledgement has been handed to its connection."""
        await asyncio.gather(*(consumer.flush() for consumer in self.consumers))

    async def stop(self) -> None:
        """Stop deciding and probing at once. What is not settled is left to the broker."""
        await asyncio.gather(*(settler.close() for settler in self.settlers))
        await self.breaker.close()

    async def close(self) -> None:
        """Close the connections. The broker requeues what is not settled."""
        await asyncio.gather(
            self._isolator.close(), *(consumer.close() for consumer in self.consumers), self._closing.aclose()
        )

    async def _open_late(self) -> None:
        """Open a store that did not answer when the process began, and begin to consume."""
        backoff = Backoff(first=_FIRST_REST, longest=_LONGEST_REST)
        told: str | None = None  # each reason is logged once
        while not self.is_open:
            await backoff.rest()
            try:
                await self.open()
            except EventStoreError as error:
                if told != (told := str(error)):
                    _log.warning("%s: still paused: %s", self.name, error)
        _log.warning("%s: the database answers", self.name)
        backoff.reset()
        for consumer in self.consumers:
            while not consumer.is_consuming:
                try:
                    await consumer.start()
                except BrokerError as error:
                    _log.error("cannot consume %s: %s", consumer.queue, error)
                    await backoff.rest()

    def _add(self, store: EventStore, domain: Domain) -> None:
        shared, settings = self._shared, self._shared.settings
        topology = Topology.of(domain)
        host, _, port = broker_address(settings.amqp_url).rpartition(":")
        scheduler = Scheduler(
            store,
            domain,
            settings,
            shared.counters,
            shared.watchdog,
            breaker=self.breaker,
            long_reads=self._long_reads,
        )
        settler = Settler(
            scheduler,
            topology,
            store=store,
            sender=shared.sender,
            replies=shared.replies,
            isolator=self._isolator,
            breaker=self.breaker,
            counters=shared.counters,
            settings=settings,
            server=(host, int(port)),
        )
        kind = Consumer if topology.shards is None else ShardConsumer
        consumer = kind(
            settings.amqp_url,
            topology,
            prefetch=settings.prefetch,
            counters=shared.counters,
            deliver=settler.take,
            may_begin=self.breaker.closed,
        )
        self.schedulers.append(scheduler)
        self.settlers.append(settler)
        self.consumers.append(consumer)
