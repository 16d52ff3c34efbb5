"""The run of the part about reading: how fast projections and relays catch up, and the cost of one beside a worker."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg

from deploy.local.stack import LocalStack
from eventstore.postgres import PostgresEventStore, Session, migrate
from handlers import Relay
from handlers.library import domain as library
from tests.bench.figure import CPU, Figure, figures_of
from tests.bench.reading.beside import Beside
from tests.bench.reading.followed import lendings_rows
from tests.bench.run import present
from tests.bench.subjects.postgres import serve
from worker.reading.builds import Declared
from worker.reading.coordinator import Coordinator
from worker.reading.followed import Followed
from worker.reading.outlet import BrokerConnections
from worker.reading.outputs import Output

__all__ = ["run"]

_FILL = Path(__file__).with_name("lendings.sql").read_text(encoding="utf-8")
_POLL_SECONDS = 0.02

_PEER = "eventsourcing"
# The peer writes one event per transaction: this many take longer than the measurement.
_PEERS_EVENTS_A_ROUND = 50_000


def run(*, size: int, repeat: int, rate: int, progress: Callable[[str], None]) -> list[Figure]:
    """Measure processes that follow a log.

    Args:
        size: The number of events in the log.
        repeat: The number of rounds; each begins with the log's first event.
        rate: Commands a second that a worker decides while a projection follows.
        progress: Called with a description of each step.
    """
    samples: defaultdict[str, list[float]] = defaultdict(list)
    progress("reading: starting servers")
    with LocalStack(replicas=1, broker=True) as stack:
        addresses = stack.environment()
        progress(f"reading: loading {size:,} events")
        asyncio.run(_load(addresses["DATABASE_ADMIN_URL"], size))
        for number in range(1, repeat + 1):
            progress(f"reading: round {number} of {repeat}")
            # A projection of a new name in each round, with its own tables.
            project = Declared(domain=library, projection=lendings_rows(f"lendings{number}"))
            _take(samples, "project", asyncio.run(_seconds(addresses, project, size)), size)
            for mode in ("binary", "structured"):
                relay = Relay(name=f"relay-{mode}{number}", mode=mode, begins="start")
                took = asyncio.run(_seconds(addresses, Output(domain=library, output=relay), size))
                _take(samples, f"relay_{mode}", took, size)
            asyncio.run(_forget(addresses["DATABASE_ADMIN_URL"]))
        asyncio.run(_beside(addresses, samples, repeat, rate, progress))
    if _PEER in present():
        progress(f"reading: {_PEER}")
        _measure_peer(samples, repeat)
    return figures_of(samples)


async def _beside(
    addresses: dict[str, str],
    samples: defaultdict[str, list[float]],
    repeat: int,
    rate: int,
    progress: Callable[[str], None],
) -> None:
    async with _administration(addresses["DATABASE_ADMIN_URL"]) as admin:
        await Beside(addresses, admin, samples, progress).run(repeat, rate=rate)


def _measure_peer(samples: defaultdict[str, list[float]], repeat: int) -> None:
    from tests.bench.reading import peer  # noqa: PLC0415  the peer may not be installed

    with serve() as address:
        asyncio.run(peer.load(address, repeat * _PEERS_EVENTS_A_ROUND))
        for _ in range(repeat):
            rate, cpu = peer.events_a_second(address)
            samples[f"{_PEER}.project"].append(rate)
            samples[f"{_PEER}.project{CPU}"].append(cpu)


def _take(samples: defaultdict[str, list[float]], name: str, took: tuple[float, float], size: int) -> None:
    seconds, cpu_seconds = took
    samples[name].append(size / seconds)
    samples[f"{name}{CPU}"].append(cpu_seconds / size * 1e6)


async def _seconds(addresses: dict[str, str], followed: Followed, size: int) -> tuple[float, float]:
    """The time to reach the end of the log, and the CPU time of this process."""
    url = addresses["DATABASE_URL"]
    outlet = BrokerConnections(
        addresses["AMQP_URL"], name="bench", domains={}, source="", max_message_bytes=1024 * 1024
    )
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
    async with _administration(admin_url) as connection:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute(_FILL, size)
        await connection.execute("VACUUM ANALYZE eventstore.events")
        await connection.execute("CHECKPOINT")


async def _forget(admin_url: str) -> None:
    """Reset, so that the next round begins as this one did."""
    async with _administration(admin_url) as connection:
        await connection.execute("DROP SCHEMA read_library CASCADE; DELETE FROM reading.followers")


@asynccontextmanager
async def _administration(admin_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(admin_url)
    try:
        yield connection
    finally:
        await connection.close()
