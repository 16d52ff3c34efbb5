"""The subject: a store under measurement, behind one interface for all measurements."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["COMPARED", "Address", "Conflict", "Contender", "InLoop", "InThreads", "Job", "Loan", "Subject"]

Job = Coroutine[Any, Any, None]
_MOST_THREADS = 256


class Conflict(Exception):
    """Raised by ``Subject.append``: an event entered the boundary after it was queried.

    Attributes:
        after: The position for the next attempt, if the store has returned the missing events; None to query again.
    """

    def __init__(self, after: Any = None) -> None:
        super().__init__()
        self.after = after


@dataclass(frozen=True, slots=True)
class Loan:
    """A loan, as an event and as a boundary: all loans and returns of this book or by this reader.

    Attributes:
        book: The copy.
        reader: Who has it.
    """

    book: str
    reader: str


@dataclass(frozen=True, slots=True)
class Address:
    """A server's addresses.

    Attributes:
        url: For reads and appends.
        admin_url: For setting it up.
    """

    url: str
    admin_url: str


class Subject(Protocol):
    """A store, opened in its own process. Positions are opaque."""

    async def ping(self) -> None:
        """Make the shortest round trip to the server."""
        ...

    async def query(self, boundary: Loan) -> Any:
        """Read all events of a boundary; return the position for ``append``."""
        ...

    async def append(self, loans: Sequence[Loan], boundary: Loan, after: Any) -> Any:
        """Record loans unless an event entered the boundary after the position; return the position of the last one.

        Raises:
            Conflict: An event did. Nothing is recorded.
        """
        ...

    async def scan(self) -> int:
        """Read the whole log, event by event; return the number of events."""
        ...

    async def together(self, jobs: Sequence[Job]) -> None:
        """Run jobs concurrently until all have ended."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait while other jobs run."""
        ...

    async def close(self) -> None:
        """Close the store."""
        ...


COMPARED = frozenset(
    {
        "query_1",
        "append_1",
        "append_5",
        "typical_1",
        "typical_128",
        "hot_16",
        "append_conditional_peak",
        "append_100_4",
        "violations_16",
        "memory_128",
    }
)
"""The figures that every store can give, since all that they take is to query and to append."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """How a subject is set up.

    Attributes:
        serve: Starts its own server; leaving the context stops it and removes its files.
        load: Fills the empty server with the given number of events of ``library.loans``.
        open: Opens the store on a filled server.
        figures: The figures that it supports.
        affordable: The most events that it loads within about a minute.
    """

    serve: Callable[[], AbstractContextManager[Address]]
    load: Callable[[Address, int], Awaitable[None]]
    open: Callable[[Address], Awaitable[Subject]]
    figures: frozenset[str]
    affordable: int = 10_000_000


class InLoop:
    """Runs jobs as tasks of the event loop: for asynchronous clients."""

    async def together(self, jobs: Sequence[Job]) -> None:
        """See ``Subject.together``."""
        await asyncio.gather(*jobs)

    async def pause(self, seconds: float) -> None:
        """See ``Subject.pause``."""
        await asyncio.sleep(seconds)


class InThreads:
    """Runs each job in a thread: for blocking clients.

    Their coroutines never suspend, so that a single caller pays neither for an event loop nor for switching threads.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_MOST_THREADS)

    async def together(self, jobs: Sequence[Job]) -> None:
        """See ``Subject.together``."""
        for future in [self._threads.submit(_finish, job) for job in jobs]:
            future.result()

    async def pause(self, seconds: float) -> None:
        """See ``Subject.pause``."""
        time.sleep(seconds)  # noqa: ASYNC251  it runs in its own thread


def _finish(job: Job) -> None:
    try:
        job.send(None)
    except StopIteration:
        return
    raise TypeError("a job of a blocking client must not suspend: it has no event loop")
