"""The measurements of our store alone: decisions by the scheduler, and plain inserts, the upper bound of appends."""

import asyncio
import json
import time
from collections.abc import Awaitable
from functools import partial
from statistics import median
from uuid import uuid4

import asyncpg

from handlers.library.lend_book_copy import LendBookCopyToReader
from tests.bench.library import HISTORIES, LENT, Library
from tests.bench.measurement import Measurement
from tests.bench.subjects.ours import Ours, event_of
from worker.message import CommandMessage

__all__ = ["OWN_MEASUREMENTS"]

_BATCH = 128
_WARMING = 5
_LONGER = 3
_INSERT = """
INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[], $5::jsonb[], $6::jsonb[])
"""
_HEAD = "SELECT coalesce(max(sequence_number), 0) FROM eventstore.events"


async def history(subject: Ours, _library: Library, seconds: float, *, length: int) -> float:
    """A rejected lending of a book with ``length`` events, its state cached; the rejection is recorded too."""
    book = HISTORIES[length]
    for _ in range(_WARMING):
        await _decide(subject, book)
    samples: list[float] = []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        start = time.perf_counter()
        await _decide(subject, book)
        samples.append(time.perf_counter() - start)
    return median(samples) * 1000


async def commit(subject: Ours, library: Library, seconds: float) -> float:
    """A plain commit of one row, in a separate table."""
    connection = await asyncpg.connect(subject.address.admin_url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS public.commits (n bigserial PRIMARY KEY, payload jsonb)")
        insert = await connection.prepare("INSERT INTO public.commits (payload) VALUES ($1)")
        samples: list[float] = []
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline or len(samples) < _WARMING:
            event = event_of(library.loan())
            start = time.perf_counter()
            await insert.fetch(event.payload_text)
            samples.append(time.perf_counter() - start)
    finally:
        await connection.close()
    return median(samples) * 1000


async def bare(subject: Ours, library: Library, seconds: float) -> float:
    """Multi-row inserts of full batches without a condition, the next batch prepared while one is in flight."""
    connection = await asyncpg.connect(subject.address.admin_url)
    try:
        number = int(await connection.fetchval(_HEAD))
        insert = await connection.prepare(_INSERT)
        start = time.perf_counter()
        count = 0
        under_way: Awaitable[object] | None = None
        while time.perf_counter() < start + _LONGER * seconds:
            batch = _batch(library, number + count + 1)
            if under_way is not None:
                await under_way
            under_way = asyncio.ensure_future(insert.fetch(*batch))
            await asyncio.sleep(0)
            count += _BATCH
        if under_way is not None:
            await under_way
        elapsed = time.perf_counter() - start
    finally:
        await connection.close()
    return count / elapsed


async def _decide(subject: Ours, book: str) -> None:
    identity = uuid4()
    await subject.scheduler.process(
        CommandMessage(
            command_id=identity,
            command_type=LendBookCopyToReader.__name__,
            body=json.dumps({"BookID": book, "ReaderID": "nobody"}).encode(),
            correlation_id=str(identity),
            causation_id=str(identity),
            headers={},
        )
    )


def _batch(library: Library, first: int) -> tuple[object, ...]:
    events = [event_of(library.loan()) for _ in range(_BATCH)]
    return (
        list(range(first, first + _BATCH)),
        [1] * _BATCH,
        [LENT] * _BATCH,
        [event.occurred_at for event in events],
        [event.payload_text for event in events],
        [event.metadata_text for event in events],
    )


OWN_MEASUREMENTS: dict[str, Measurement] = {
    "typical_history_10": partial(history, length=10),
    "typical_history_100000": partial(history, length=100_000),
    "append_bare_peak": bare,
    "commit_1": commit,
}
