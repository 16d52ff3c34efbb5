"""The measurements of histories: a scheduler against a real store."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable
from time import perf_counter
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop

from eventstore.postgres import PostgresEventStore
from tests.bench.histories.orders import domain
from tests.bench.memory import growth
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings

__all__ = ["MEASURED", "measured"]

_ORDERS = 300
_STARTS = 30
_HERD = 32
_OTHERS = 1000
_OTHERS_AT_ONCE = 4

Samples = dict[str, list[float]]


def measured(name: str, url: str, admin_url: str) -> Samples:
    """Take one of the measurements in this process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(MEASURED[name](url, admin_url))


async def warm(url: str, _admin_url: str) -> Samples:
    """New orders of a product with few orders and of one with many, in turn, with cached states."""
    samples: Samples = {"order_10": [], "order_20000": []}
    async with PostgresEventStore.connect(url) as store:
        scheduler = Scheduler(store, domain, Settings())
        for product in ("small", "large"):
            await _order(scheduler, product)
        for _ in range(_ORDERS):
            samples["order_10"].append(await _order(scheduler, "small"))
            samples["order_20000"].append(await _order(scheduler, "large"))
        await scheduler.close()
    return samples


async def started(url: str, _admin_url: str) -> Samples:
    """The same by a worker that has just started, with stored states."""
    samples: Samples = {"order_10_started": [], "order_20000_started": []}
    async with PostgresEventStore.connect(url) as store:
        for number in range(_STARTS + 1):
            for name, product in (("order_10_started", "small"), ("order_20000_started", "large")):
                scheduler = Scheduler(store, domain, Settings())
                seconds = await _order(scheduler, product)
                await scheduler.close()
                if number:  # the first order read the history and stored the state
                    samples[name].append(seconds)
    return samples


async def herd(url: str, admin_url: str) -> Samples:
    """Many orders at once of a product whose history was not read yet, and the effect on other orders."""
    admin = await asyncpg.connect(admin_url)
    await admin.execute("DELETE FROM eventstore.states")
    await admin.close()
    async with PostgresEventStore.connect(url) as store:
        scheduler = Scheduler(store, domain, Settings())
        before = await _others(scheduler, lambda: True)
        waiting: list[float] = []

        async def all_at_once() -> None:
            waiting.extend(await asyncio.gather(*(_order(scheduler, "huge") for _ in range(_HERD))))

        ordering = asyncio.create_task(growth(all_at_once()))
        beside = await _others(scheduler, lambda: not ordering.done())
        megabytes = await ordering
        await scheduler.close()
    return {
        "others_p99": [_p99(before)],
        "others_p99_beside": [_p99(beside)],
        "herd_wait": [max(waiting)],
        "herd_memory": [megabytes],
    }


MEASURED: dict[str, Callable[[str, str], Coroutine[Any, Any, Samples]]] = {
    "warm": warm,
    "started": started,
    "herd": herd,
}


async def _others(scheduler: Scheduler, goes_on: Callable[[], bool]) -> list[float]:
    """Place orders of other products, a few at a time, until it is cancelled."""
    samples: list[float] = []

    async def some() -> None:
        while goes_on() and len(samples) < _OTHERS:
            samples.append(await _order(scheduler, f"own-{uuid4()}"))

    await asyncio.gather(*(some() for _ in range(_OTHERS_AT_ONCE)))
    return samples


def _p99(samples: Iterable[float]) -> float:
    ordered = sorted(samples)
    return ordered[len(ordered) * 99 // 100]


async def _order(scheduler: Scheduler, product: str) -> float:
    """Place a new order, and return the time to its answer, in milliseconds."""
    identity = uuid4()
    message = CommandMessage(
        command_id=identity,
        command_type="PlaceOrder",
        body=json.dumps({"order": str(identity), "product": product}).encode(),
        correlation_id=str(identity),
        causation_id=str(identity),
        headers={},
    )
    start = perf_counter()
    await scheduler.process(message)
    return (perf_counter() - start) * 1000
