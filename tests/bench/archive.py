"""The part about archives: which commands can still be decided after half of the log was archived, and the overhead."""

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import uuid4

import asyncpg

from deploy.local.postgres import DATABASE
from deploy.local.stack import LocalStack
from eventstore import Event, Filter, HistoryArchived, P
from eventstore.postgres import PostgresEventStore, archive, migrate
from handlers import Command
from handlers.library import domain
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.scenarios.library_day import LibraryDay
from handlers.library.scenarios.loans import addition, registration
from tests.bench.figure import Figure, figures_of
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings

__all__ = ["run"]

_PARTITION = 10_000
_AT_ONCE = 256
_SAMPLES = 500
_WHOLE = f"{DATABASE}_whole"
_SEED = 1


def run(count: int, *, progress: Callable[[str], None]) -> list[Figure]:
    """Decide a library's day, archive half of its log, then decide a sixth as many commands.

    Args:
        count: The number of commands before the archiving.
        progress: Called with a description of each step.
    """
    with LocalStack(replicas=0, broker=False) as stack, TemporaryDirectory() as directory:
        primary = stack.primary
        urls = [[primary.url(login, name) for login in (primary.worker, primary.admin)] for name in (DATABASE, _WHOLE)]
        return figures_of(asyncio.run(_measured(urls, count, Path(directory), progress)))


async def _measured(
    urls: Sequence[Sequence[str]], count: int, directory: Path, progress: Callable[[str], None]
) -> dict[str, list[float]]:
    (url, admin_url), (whole_url, _) = urls
    await migrate(admin_url, partition_size=_PARTITION)
    day = _day(count + count // 6)
    progress(f"archive: {count:,} commands of a library's day")
    async with PostgresEventStore.connect(url) as store:
        await _decided(store, list(itertools.islice(day, count)))
        head = (await store.query(Filter.matching_any_event().sequence_number_higher_than(2**62))).position.number
    admin = await asyncpg.connect(admin_url.replace(f"/{DATABASE}", "/postgres"))
    await admin.execute(f'CREATE DATABASE "{_WHOLE}" TEMPLATE "{DATABASE}"')
    await admin.close()
    started = time.perf_counter()
    report = await archive(admin_url, before=head // 2 + 1, to=directory)
    samples = {
        "archive_events": [report.events / (time.perf_counter() - started)],
        "archive_bytes": [sum(path.stat().st_size for path in report.files) / report.events],
    }
    connection = await asyncpg.connect(admin_url)
    kept = "SELECT pg_total_relation_size('eventstore.archive_fields')"
    samples["archive_summary_bytes"] = [await connection.fetchval(kept) / report.events]
    await connection.close()
    progress(f"archive: {report.events:,} of {head:,} events are in files, {len(report.ranges)} ranges")
    later = list(day)
    async with PostgresEventStore.connect(url) as archived, PostgresEventStore.connect(whole_url) as whole:
        samples |= await _timed([("", whole), ("_beside", archived)])
        for suffix, store in (("_whole", whole), ("", archived)):
            found = await _decided(store, later)
            samples[f"archive_decided{suffix}"] = [100 * sum(found) / len(found)]
            new = _meets_nobody_from_before(later)
            if not suffix:
                samples["archive_decided_new"] = [
                    100 * sum(each for each, is_new in zip(found, new, strict=True) if is_new) / max(1, sum(new))
                ]
    return samples


def _day(count: int) -> Iterator[Command]:
    """A library's day in which readers and books are registered just before they are first used."""
    known: set[str] = set()
    for command in LibraryDay().workload(random.Random(_SEED), count).load:  # noqa: S311  not cryptographic
        if isinstance(command, LendBookCopyToReader):
            if command.reader_id not in known:
                known.add(command.reader_id)
                yield registration(command.reader_id)
            if command.book_id not in known:
                known.add(command.book_id)
                yield addition(command.book_id)
        yield command


def _meets_nobody_from_before(commands: Sequence[Command]) -> list[bool]:
    """Return which commands read only books and readers that first occur among these commands."""
    new: set[str] = set()
    found = []
    for command in commands:
        names = [getattr(command, field) for field in ("reader_id", "book_id") if hasattr(command, field)]
        if type(command).__name__ in {"RegisterReader", "AddBookCopyToCirculation"}:
            new.update(names)
        found.append(new.issuperset(names))
    return found


async def _decided(store: PostgresEventStore, commands: Sequence[Command]) -> list[bool]:
    """Decide commands, several at a time, with a new worker; return which of them were decided."""
    found: list[bool] = []
    scheduler = Scheduler(store, domain, Settings())
    try:
        for start in range(0, len(commands), _AT_ONCE):
            answers = await asyncio.gather(
                *[scheduler.process(_message(each)) for each in commands[start : start + _AT_ONCE]],
                return_exceptions=True,
            )
            for answer in answers:
                if isinstance(answer, BaseException) and not isinstance(answer, HistoryArchived):
                    raise answer
                found.append(not isinstance(answer, HistoryArchived))
    finally:
        await scheduler.close()
    return found


def _message(command: Command) -> CommandMessage:
    identity = uuid4()
    return CommandMessage(
        command_id=identity,
        command_type=type(command).__name__,
        body=command.model_dump_json(by_alias=True).encode(),
        correlation_id=str(identity),
        causation_id=str(identity),
        headers={},
    )


async def _timed(stores: Sequence[tuple[str, PostgresEventStore]]) -> dict[str, list[float]]:
    """Measure one caller's queries and appends of new boundaries, in turn."""
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(_SAMPLES):
        boundary = Filter.matching().any_event_type_of("BookCopyLentToReader").and_any_predicate_of(P("BookID", number))
        event = Event(type="Noted", payload={"Number": number})
        for suffix, store in stores:
            asked: dict[str, Callable[[], Awaitable[object]]] = {
                "archive_query": partial(store.query, boundary),
                "archive_append": partial(store.append, [event]),
            }
            for name, ask in asked.items():
                started = time.perf_counter()
                await ask()
                taken[f"{name}{suffix}"].append(time.perf_counter() - started)
    return {name: [1000 * median(values)] for name, values in taken.items()}
