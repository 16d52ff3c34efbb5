"""The part about bloat: the durations of a read and an append after many appends beside an open snapshot."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from statistics import median

import asyncpg

from deploy.local.postgres import DATABASE
from deploy.local.stack import LocalStack
from eventstore import Event, Filter, P
from eventstore.postgres import PostgresEventStore, migrate
from tests.bench.figure import Figure, figures_of

__all__ = ["run"]

_SAMPLES = 300
_MISSED = Filter.matching().any_event_type_of("Counted").and_any_predicate_of(P("Number", 100))


def run(count: int, *, progress: Callable[[str], None]) -> list[Figure]:
    """Measure one caller's reads and appends before and after ``count`` appends, each in its own transaction."""
    with LocalStack(replicas=0, broker=False) as stack:
        url, admin_url = (stack.primary.url(login, DATABASE) for login in (stack.primary.worker, stack.primary.admin))
        return figures_of(asyncio.run(_measured(url, admin_url, count, progress)))


async def _measured(url: str, admin_url: str, count: int, progress: Callable[[str], None]) -> dict[str, list[float]]:
    await migrate(admin_url)
    admin, old = await asyncpg.connect(admin_url), await asyncpg.connect(admin_url)
    samples: dict[str, list[float]] = defaultdict(list)
    try:
        async with PostgresEventStore.connect(url) as store:
            number = 0

            async def read() -> object:
                return await store.query(_MISSED)

            async def append() -> object:
                nonlocal number
                number += 1
                return await store.append([Event(type="Counted", payload={"Number": number % 100})])

            async def floor() -> object:
                return await admin.fetchval("SELECT 1")

            async def measure(suffix: str) -> None:
                for name, operation in (("floor", floor), ("read", read), ("append", append)):
                    samples[f"bloat_{name}{suffix}"] = [await _timed(operation)]

            await _timed(append), await _timed(read)
            await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await old.execute("SELECT count(*) FROM eventstore.events")
            await measure("_0")
            progress(f"bloat: {count:,} appends beside an open snapshot")
            # The dead rows do not depend on the disk, so these commits need not wait for it.
            await _settle(admin, fsync="off")
            for _ in range(count):
                await append()
            await _settle(admin, fsync="on")
            await measure("")
    finally:
        await old.close()
        await admin.close()
    return samples


async def _timed(operation: Callable[[], Awaitable[object]]) -> float:
    """Return the median duration, in ms."""
    found = []
    for _ in range(_SAMPLES):
        start = time.perf_counter()
        await operation()
        found.append(time.perf_counter() - start)
    return median(found) * 1000


async def _settle(admin: "asyncpg.Connection[asyncpg.Record]", *, fsync: str) -> None:
    await admin.execute(f"ALTER SYSTEM SET fsync = {fsync}")
    await admin.execute("SELECT pg_reload_conf()")
    await admin.execute("CHECKPOINT")
