"""The run of the part about histories: a log of orders, and each measurement in its own process, in turn."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import asyncpg

from deploy.local.stack import LocalStack
from eventstore.postgres import migrate
from tests.bench.figure import Figure, figures_of
from tests.bench.histories.measured import MEASURED, measured

__all__ = ["run"]

_FILL = Path(__file__).with_name("log.sql").read_text(encoding="utf-8")
_METADATA = '{"command_id": "00000000-0000-0000-0000-000000000000", "correlation_id": "bench"}'


def run(*, size: int, repeat: int, progress: Callable[[str], None]) -> list[Figure]:
    """Measure the costs of long histories.

    Args:
        size: The number of events in the log.
        repeat: The number of rounds; each takes every measurement once.
        progress: Called with a description of each step.
    """
    samples: dict[str, list[float]] = defaultdict(list)
    progress("histories: starting servers")
    with LocalStack(replicas=0, broker=False) as stack:
        addresses = stack.environment()
        url, admin_url = addresses["DATABASE_URL"], addresses["DATABASE_ADMIN_URL"]
        progress(f"histories: loading {size:,} events")
        asyncio.run(_load(admin_url, size))
        for number in range(1, repeat + 1):
            progress(f"histories: round {number} of {repeat}")
            for name in MEASURED:
                # Each in its own process: no cache or memory is shared.
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    for figure, values in pool.submit(measured, name, url, admin_url).result().items():
                        samples[figure].extend(values)
    return figures_of(samples)


async def _load(admin_url: str, size: int) -> None:
    await migrate(admin_url)
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute(_FILL, size, _METADATA)
        await connection.execute("VACUUM ANALYZE eventstore.events")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
