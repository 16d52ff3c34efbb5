"""The measurements: each written once, for every subject."""

import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from tests.bench.library import Library
from tests.bench.memory import growth, resident
from tests.bench.subject import Conflict, Loan, Subject

__all__ = ["MEASUREMENTS", "Measurement"]

Measurement = Callable[[Any, Library, float], Awaitable[float]]
"""Measures a subject for about the given number of seconds."""

_FEWEST = 5
_CALLERS = 128
# Enough callers that one full batch fills while another is in flight.
_CALLERS_AT_PEAK = 256
_EVENTS_OF_MANY = 100
_CALLERS_OF_MANY = 4
_RACERS = 16
_RACES = 100
# Threads do not start at the same time, nor do many callers end at the same time.
_LONGER = 3


async def select(subject: Subject, _library: Library, seconds: float) -> float:
    """The shortest possible round trip."""

    async def once() -> float:
        return await _timed(subject.ping())

    return await _typical(once, seconds)


async def query(subject: Subject, library: Library, seconds: float) -> float:
    """A query that finds about ten events."""

    async def once() -> float:
        return await _timed(subject.query(library.loan()))

    return await _typical(once, seconds)


async def append(subject: Subject, library: Library, seconds: float, *, events: int = 1) -> float:
    """A conditional append right after its query, which is not timed."""

    async def once() -> float:
        loans = [library.loan() for _ in range(events)]
        after = await subject.query(loans[0])
        return await _timed(subject.append(loans, loans[0], after))

    return await _typical(once, seconds)


async def append_several(subject: Subject, library: Library, seconds: float) -> float:
    """A conditional append of five events."""
    return await append(subject, library, seconds, events=5)


async def typical(subject: Subject, library: Library, seconds: float) -> float:
    """A query and the append of one event."""

    async def once() -> float:
        return await _timed(_decide(subject, library))

    return await _typical(once, seconds)


async def typical_together(subject: Subject, library: Library, seconds: float) -> float:
    """The same by many callers at the same time."""

    async def operation(count: list[int]) -> None:
        await _decide(subject, library)
        count.append(1)

    return await _throughput(subject, operation, _CALLERS, seconds)


async def typical_cpu(subject: Subject, library: Library, seconds: float) -> float:
    """The client's CPU time for one of these, in microseconds, without the server's."""
    count: list[int] = []

    async def operation(_count: list[int]) -> None:
        await _decide(subject, library)
        count.append(1)

    start = time.process_time()
    await _throughput(subject, operation, _CALLERS, seconds)
    return (time.process_time() - start) / len(count) * 1_000_000


async def hot_together(subject: Subject, library: Library, seconds: float) -> float:
    """Decisions by several callers on one boundary, each repeated until it is recorded."""
    loan = library.untouched()

    async def operation(count: list[int]) -> None:
        await _decide_on(subject, library, loan)
        count.append(1)

    return await _throughput(subject, operation, _RACERS, seconds)


async def appends_together(subject: Subject, library: Library, seconds: float) -> float:
    """Conditional appends without their queries, by enough callers to fill the batches."""

    async def caller(deadline: float, done: list[int]) -> None:
        after = await subject.query(library.untouched())
        while time.perf_counter() < deadline:
            loan = library.loan()
            try:
                after = await subject.append([loan], loan, after)
                done.append(1)
            except Conflict:
                after = await subject.query(loan)

    return await _rate(subject, caller, _CALLERS_AT_PEAK, seconds)


async def appends_of_many(subject: Subject, library: Library, seconds: float) -> float:
    """Events per second of appends of a hundred events under one condition, by few callers."""

    async def caller(deadline: float, done: list[int]) -> None:
        after = await subject.query(library.untouched())
        while time.perf_counter() < deadline:
            loans = [library.loan() for _ in range(_EVENTS_OF_MANY)]
            try:
                after = await subject.append(loans, loans[0], after)
                done.extend([1] * _EVENTS_OF_MANY)
            except Conflict:
                after = await subject.query(loans[0])

    return await _rate(subject, caller, _CALLERS_OF_MANY, seconds)


async def violations(subject: Subject, library: Library, _seconds: float) -> float:
    """The number of 100 races for one boundary that more than one racer won."""
    broken = 0
    for _ in range(_RACES):
        loan = library.untouched()
        # One event at the log's end: a statement that scans the log backwards finds it at once.
        await subject.append([loan], loan, await subject.query(loan))
        positions: list[Any] = []
        winners: list[int] = []

        async def look(loan: Any = loan, positions: list[Any] = positions) -> None:
            positions.append(await subject.query(loan))

        async def race(
            place: int, loan: Any = loan, positions: list[Any] = positions, winners: list[int] = winners
        ) -> None:
            try:
                await subject.append([loan], loan, positions[place])
                winners.append(place)
            except Conflict:
                return

        await subject.together([look() for _ in range(_RACERS)])
        await subject.together([race(place) for place in range(_RACERS)])
        broken += len(winners) > 1
    return broken


async def memory(_subject: Subject, _library: Library, _seconds: float) -> float:
    """The process's resident memory after its last measurement."""
    return resident()


async def reading_memory(subject: Subject, _library: Library, _seconds: float) -> float:
    """The growth of the process's memory while it reads the whole log."""
    await subject.ping()
    return await growth(subject.scan())


async def _decide(subject: Subject, library: Library) -> None:
    await _decide_on(subject, library, library.loan())


async def _decide_on(subject: Subject, library: Library, loan: Loan) -> None:
    attempt = 0
    after = await subject.query(loan)
    while True:
        try:
            await subject.append([loan], loan, after)
        except Conflict as conflict:
            after = conflict.after
        else:
            return
        if after is None:
            attempt += 1
            await subject.pause(library.backoff(attempt))
            after = await subject.query(loan)


async def _timed(operation: Awaitable[object]) -> float:
    start = time.perf_counter()
    await operation
    return time.perf_counter() - start


async def _typical(once: Callable[[], Awaitable[float]], seconds: float) -> float:
    """The median duration, in milliseconds."""
    samples: list[float] = []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(samples) < _FEWEST:
        samples.append(await once())
    return median(samples) * 1000


async def _throughput(
    subject: Subject, operation: Callable[[list[int]], Awaitable[None]], callers: int, seconds: float
) -> float:
    async def caller(deadline: float, done: list[int]) -> None:
        while time.perf_counter() < deadline:
            await operation(done)

    return await _rate(subject, caller, callers, seconds)


async def _rate(subject: Subject, caller: Callable[[float, list[int]], Any], callers: int, seconds: float) -> float:
    """Operations per second of all callers together, until the last of them ends."""
    done: list[int] = []
    start = time.perf_counter()
    await subject.together([caller(start + _LONGER * seconds, done) for _ in range(callers)])
    return len(done) / (time.perf_counter() - start)


MEASUREMENTS: dict[str, Measurement] = {
    "select_1": select,
    "query_1": query,
    "append_1": append,
    "append_5": append_several,
    "typical_1": typical,
    "typical_128": typical_together,
    "typical_128.cpu": typical_cpu,
    "hot_16": hot_together,
    "memory_128": memory,
    "append_conditional_peak": appends_together,
    "append_100_4": appends_of_many,
    "violations_16": violations,
    "read_1000000_memory": reading_memory,
}
