"""The subject: a store under measurement, behind the one face that every measurement speaks to."""

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
        after: The position that the next attempt is judged from, if the store has told what was not read; None: query.
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
    """Where a server is reached.

    Attributes:
        url: For ordinary work.
        admin_url: For setting it up.
    """

    url: str
    admin_url: str


class Subject(Protocol):
    """A store, opened in a process of its own. What its positions are is its own affair."""

    async def ping(self) -> None:
        """Make the shortest round trip to the server."""
        ...

    async def query(self, boundary: Loan) -> Any:
        """Read all events of a boundary; return the position that an append is judged from."""
        ...

    async def append(self, loans: Sequence[Loan], boundary: Loan, after: Any) -> Any:
        """Record loans if nothing entered the boundary after the position; return the position of the last one.

        Raises:
            Conflict: Something did. Nothing is recorded.
        """
        ...

    async def scan(self) -> int:
        """Read the whole log, event by event; return how many there were."""
        ...

    async def together(self, jobs: Sequence[Job]) -> None:
        """Run jobs at the same time, to their ends."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait, and let other jobs run."""
        ...

    async def close(self) -> None:
        """Close what was opened."""
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
    """How a subject comes to be.

    Attributes:
        serve: Starts a server of its own; leaving the context ends it and removes its files.
        load: Fills the empty server with so many events, as ``library.loans`` generates them.
        open: Opens the store on a server that is filled.
        figures: Which figures it can give.
        affordable: The most events that it loads within a minute or so.
    """

    serve: Callable[[], AbstractContextManager[Address]]
    load: Callable[[Address, int], Awaitable[None]]
    open: Callable[[Address], Awaitable[Subject]]
    figures: frozenset[str]
    affordable: int = 10_000_000


class InLoop:
    """Runs jobs as tasks of the loop: for clients that are asynchronous."""

    async def together(self, jobs: Sequence[Job]) -> None:
        """See ``Subject.together``."""
        await asyncio.gather(*jobs)

    async def pause(self, seconds: float) -> None:
        """See ``Subject.pause``."""
        await asyncio.sleep(seconds)


class InThreads:
    """Runs each job in a thread: for clients that block.

    Their coroutines never suspend, so that one caller pays for no loop and no hand-over between threads.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_MOST_THREADS)

    async def together(self, jobs: Sequence[Job]) -> None:
        """See ``Subject.together``."""
        for future in [self._threads.submit(_finish, job) for job in jobs]:
            future.result()

    async def pause(self, seconds: float) -> None:
        """See ``Subject.pause``."""
        time.sleep(seconds)  # noqa: ASYNC251  it runs in a thread of its own


def _finish(job: Job) -> None:
    try:
        job.send(None)
    except StopIteration:
        return
    raise TypeError("a job of a client that blocks waits for the loop, which is not there")
