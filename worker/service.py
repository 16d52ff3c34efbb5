"""The service: everything that a worker process serves, store by store."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from eventstore import StoreUnavailable
from handlers.domain import Domain
from worker.amqp.codec import install_lenient_codec
from worker.amqp.sender import Sender
from worker.counters import Counters
from worker.reporting.report import DomainReport
from worker.rounds.hot_parts import HotPart
from worker.rounds.replies import Replies
from worker.rounds.watchdog import Watchdog
from worker.settings import Settings
from worker.store_service import OpensStore, SharedParts, StoreService
from worker.supervision.health import Health
from worker.supervision.stop_times import StopTimes

__all__ = ["Service"]

_log = logging.getLogger(__name__)

# Shares of the time after the drain.
_FLUSH_SECONDS, _CLOSE_SECONDS = 2.0, 5.0


class Service:
    """Serves domains from queues, with a ``StoreService`` for each event store.

    Args:
        stores: For each store, its domains and the function that opens it.
        settings: The worker's settings.

    Attributes:
        counters: The process's counters.
        stop_times: The deadlines of the drain and of the close.
    """

    def __init__(self, stores: Sequence[tuple[Sequence[Domain], OpensStore]], settings: Settings) -> None:
        self.counters = Counters()
        self.stop_times = StopTimes(drain=settings.worker_drain_deadline)
        # Connections of their own for what may be refused or is large: it must not delay replies.
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
        """Whether every domain's deliveries can arrive."""
        return all(store.is_consuming for store in self._stores)

    @property
    def queues(self) -> list[str]:
        """Names of the queues that are consumed: those of the domains whose store has answered."""
        return [consumer.queue for store in self._stores for consumer in store.consumers]

    @property
    def is_paused(self) -> bool:
        """Whether any domain is paused because its database does not answer."""
        return any(store.is_paused for store in self._stores)

    @property
    def paused(self) -> dict[str, bool]:
        """Whether each domain is paused because its database does not answer, by the domain's name."""
        return {domain.name: store.is_paused for store in self._stores for domain in store.domains}

    @property
    def kept_states(self) -> int:
        """How many parts have a cached state."""
        return sum(scheduler.kept_states for store in self._stores for scheduler in store.schedulers)

    @property
    def domains(self) -> list[DomainReport]:
        """The domains that are served, for reports."""
        return [
            DomainReport(name=domain.name, shards=domain.shards, paused=store.is_paused)
            for store in self._stores
            for domain in store.domains
        ]

    def take_hottest(self, most: int) -> list[tuple[str, HotPart]]:
        """Return the hottest parts of each domain since the last call, up to ``most``, with the domain's name."""
        return [
            (scheduler.domain_name, hot)
            for store in self._stores
            for scheduler in store.schedulers
            for hot in scheduler.take_hottest(most)
        ]

    def health(self) -> Health:
        """Return the health of this worker: of all its stores."""
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
        """Open the stores. If one does not answer but another does, ``serve`` waits for it.

        Raises:
            StoreUnavailable: No store answers.
            StoreMisconfigured: A store cannot be used as it is.
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
        """Connect to the broker, declare what is missing, and begin to consume for the stores that are open.

        Raises:
            BrokerUnavailable: The broker does not answer.
            BrokerMisconfigured: The broker refuses the connection or a declaration.
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
        """Stop consuming, give back commands that have not started or wait for the database, and let the others finish.

        Returns:
            How many commands had started and did not finish within the deadline. The broker delivers them again.
        """
        self._draining = True
        until = self.stop_times.begin()
        try:
            # If the broker does not answer, half the time is left for commands that have started.
            with suppress(TimeoutError):
                async with asyncio.timeout((until - asyncio.get_running_loop().time()) / 2):
                    await asyncio.gather(*(store.stop_consuming() for store in self._stores))
            return sum(await asyncio.gather(*(store.drain(until) for store in self._stores)))
        finally:
            # Also on cancellation: every delivery is accounted for by then.
            await asyncio.gather(*(store.stop() for store in self._stores))
            # A broker that reads nothing takes no acknowledgement.
            with suppress(TimeoutError):
                async with asyncio.timeout(self.stop_times.left(_FLUSH_SECONDS)):
                    await asyncio.gather(*(store.flush() for store in self._stores))

    async def close(self) -> None:
        """Close every connection. The broker requeues what is not settled."""
        senders = (self._sender, self._answers, self._direct_answers)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.stop_times.left()):
                await asyncio.gather(*(store.stop() for store in self._stores))
                async with asyncio.timeout(self.stop_times.left(_CLOSE_SECONDS)):
                    await asyncio.gather(
                        *(store.close() for store in self._stores),
                        *(sender.close() for sender in senders),
                    )
