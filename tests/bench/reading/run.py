"""The run of the part about reading: how fast a projection catches up, and how fast a relay publishes."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import asyncpg

from deploy.local.stack import LocalStack
from eventstore import Filter
from eventstore.postgres import PostgresEventStore, Session, migrate
from handlers import Change, DomainEvent, Projected, Projection, Relay, Table
from handlers.library import domain as library
from handlers.library.events import BookCopyLentToReader
from tests.bench.figure import CPU, Figure, figures_of
from worker.reading.builds import Declared
from worker.reading.coordinator import Coordinator
from worker.reading.followed import Followed
from worker.reading.outlet import Outlet
from worker.reading.outputs import Output

__all__ = ["run"]

_FILL = Path(__file__).with_name("lendings.sql").read_text(encoding="utf-8")
_LENDINGS = Filter.matching().any_event_type_of(BookCopyLentToReader.__name__)
_POLL_SECONDS = 0.02

lendings = Table("lendings", columns={"number": int, "book_id": str, "at": datetime}, key=("number",))


def _row(seen: Projected[DomainEvent]) -> Change | None:
    match seen.event:
        case BookCopyLentToReader(book_id=book_id):
            return lendings.insert(number=seen.number, book_id=book_id, at=seen.occurred_at)
        case _:
            return None


def run(*, size: int, repeat: int, progress: Callable[[str], None]) -> list[Figure]:
    """Measure one process that follows a log.

    Args:
        size: How many events there are in the log.
        repeat: How many rounds; each begins with the log's first event.
        progress: Is told what is being done.
    """
    samples: dict[str, list[float]] = defaultdict(list)
    progress("reading: starting servers")
    with LocalStack(replicas=0, broker=True) as stack:
        addresses = stack.environment()
        progress(f"reading: loading {size:,} events")
        asyncio.run(_load(addresses["DATABASE_ADMIN_URL"], size))
        for number in range(1, repeat + 1):
            progress(f"reading: round {number} of {repeat}")
            projection = Projection(name=f"lendings{number}", events=_LENDINGS, tables=(lendings,), changes=_row)
            # Each round has tables of its own; of one schema and name there can be one.
            project = Declared(domain=library, projection=projection)
            _take(samples, "project", asyncio.run(_seconds(addresses, project, size)), size)
            for mode in ("binary", "structured"):
                relay = Relay(name=f"relay-{mode}{number}", mode=mode, begins="start")
                took = asyncio.run(_seconds(addresses, Output(domain=library, output=relay), size))
                _take(samples, f"relay_{mode}", took, size)
            asyncio.run(_forget(addresses["DATABASE_ADMIN_URL"]))
    return figures_of(samples)


def _take(samples: dict[str, list[float]], name: str, took: tuple[float, float], size: int) -> None:
    seconds, cpu_seconds = took
    samples[name].append(size / seconds)
    samples[f"{name}{CPU}"].append(cpu_seconds / size * 1e6)


async def _seconds(addresses: dict[str, str], followed: Followed, size: int) -> tuple[float, float]:
    """How long it takes to come to the end of the log, and how much CPU time of this process."""
    url = addresses["DATABASE_URL"]
    outlet = Outlet(addresses["AMQP_URL"], name="bench", domains={}, source="", max_message_bytes=1024 * 1024)
    try:
        async with PostgresEventStore.connect(url, writable=False) as store:
            coordinator = Coordinator([followed], store, partial(_session, url), outlet=outlet)
            await coordinator.open()
            begun, cpu_begun = time.perf_counter(), time.process_time()
            serving = asyncio.create_task(coordinator.serve())
            while not any(each.progress.number >= size for each in coordinator.running.values()):
                if serving.done():
                    serving.result()
                await asyncio.sleep(_POLL_SECONDS)
            took = time.perf_counter() - begun, time.process_time() - cpu_begun
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            return took
    finally:
        await outlet.close()


def _session(url: str, purpose: str) -> Session:
    return Session(url, purpose=purpose)


async def _load(admin_url: str, size: int) -> None:
    await migrate(admin_url)
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute(_FILL, size)
        await connection.execute("VACUUM ANALYZE eventstore.events")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _forget(admin_url: str) -> None:
    """Have the next round begin as this one did."""
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute("DROP SCHEMA read_library CASCADE; DELETE FROM reading.followers")
    finally:
        await connection.close()
