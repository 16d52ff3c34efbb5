"""A worker service in the test's process, and a stand-in for ``query_many`` that holds decisions back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from eventstore import EventStream, Filter
from eventstore.postgres import PostgresEventStore
from handlers.domain import Domain
from tests.support.domains.tally import domain
from tests.support.fixtures.waiting import eventually
from worker.amqp.consumer import Consumer
from worker.amqp.shard_consumer import ShardConsumer
from worker.rounds.settler import Settler
from worker.service import Service
from worker.settings import Settings
from worker.store_service import OpensStore
from worker.topology import Topology

QUEUES = Topology(domain.name)


@asynccontextmanager
async def serving(store: PostgresEventStore, amqp_url: str, **settings: Any) -> AsyncIterator[Service]:
    """Serve the tally domain; at the end, drain it and assert that every delivery is accounted for."""
    async with serving_domain(domain, store, amqp_url, **settings) as service:
        yield service


@asynccontextmanager
async def serving_domain(
    served: Domain, store: PostgresEventStore, amqp_url: str, **settings: Any
) -> AsyncIterator[Service]:
    """Serve a domain; at the end, drain it and assert that every delivery is accounted for."""
    async with serving_stores([([served], lambda: nullcontext(store))], amqp_url, **settings) as service:
        yield service


@asynccontextmanager
async def serving_stores(
    stores: Sequence[tuple[Sequence[Domain], OpensStore]], amqp_url: str, **settings: Any
) -> AsyncIterator[Service]:
    """Serve the domains of several stores; at the end, drain them and assert that every delivery is accounted for."""
    chosen: dict[str, Any] = {"worker_concurrency": 4, "worker_retry_delay": 0.05, "worker_drain_deadline": 10.0}
    service = Service(stores, Settings(amqp_url=amqp_url, **(chosen | settings)))
    try:
        await service.open()
        await service.start()
        serve = asyncio.create_task(service.serve())
        try:
            yield service
        finally:
            serve.cancel()
            await asyncio.gather(serve, return_exceptions=True)
        assert await service.drain() == 0
        assert service.counters.balanced
        assert service.counters.in_flight == 0
    finally:
        await service.close()


def consumers(service: Service) -> list[Consumer | ShardConsumer]:
    """The consumers of a service, for all its stores."""
    return [consumer for store in service._stores for consumer in store.consumers]


def settlers(service: Service) -> list[Settler]:
    """The settlers of a service, for all its stores."""
    return [settler for store in service._stores for settler in store.settlers]


async def consuming(service: Service) -> None:
    """Wait until the service consumes."""

    async def is_consuming() -> bool:
        return service.is_consuming

    await eventually(is_consuming, what="the worker to consume")


@asynccontextmanager
async def interrupted(service: Service) -> AsyncIterator[None]:
    """Wait at the end of the ``async with`` until the service has noticed the interruption in it and consumes again."""
    (consumer,) = consumers(service)
    assert isinstance(consumer, Consumer)
    before = consumer._wire
    assert before is not None
    assert not before.is_closed
    yield

    async def is_noticed() -> bool:
        return consumer._wire is not before and service.is_consuming

    await eventually(is_noticed, what="the worker to consume again")


async def received(service: Service, count: int) -> None:
    """Wait until ``count`` deliveries have been received."""

    async def have_come() -> bool:
        return service.counters.received >= count

    await eventually(have_come, what=f"{count} deliveries")


async def settled(service: Service, count: int) -> None:
    """Wait until ``count`` deliveries have been settled."""

    async def have_ended() -> bool:
        return service.counters.ends.total() >= count

    await eventually(have_ended, what=f"{count} deliveries to end")


class Hold:
    """Replaces a store's ``query_many``: no read is answered before it is let go.

    Attributes:
        waiting: The number of reads that wait now.
        most: The largest number of reads that have waited at a time.
    """

    def __init__(self, query: Callable[..., Awaitable[list[EventStream]]]) -> None:
        self._query = query
        self._turns = asyncio.Semaphore(0)
        self.waiting = 0
        self.most = 0

    async def __call__(self, filters: Sequence[Filter], **options: Any) -> list[EventStream]:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self._turns.acquire()
            return await self._query(filters, **options)
        finally:
            self.waiting -= 1

    def release(self, count: int = 1000) -> None:
        """Let ``count`` reads go, in order; by default all that wait now or come later."""
        for _ in range(count):
            self._turns.release()

    async def holds(self, count: int) -> None:
        """Wait until ``count`` reads wait."""

        async def are_waiting() -> bool:
            return self.waiting == count

        await eventually(are_waiting, what=f"{count} waiting reads")
