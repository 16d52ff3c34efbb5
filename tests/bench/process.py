"""A separate process for each subject: one client, one loop, nothing else in its memory."""

import asyncio
import multiprocessing
import traceback
from importlib import import_module
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import uvloop

from tests.bench.library import Library
from tests.bench.measurement import MEASUREMENTS
from tests.bench.own import OWN_MEASUREMENTS
from tests.bench.subject import Address, Contender, Subject

__all__ = ["BenchError", "SubjectProcess", "contender"]

_STOP_SECONDS = 30
_ALL = MEASUREMENTS | OWN_MEASUREMENTS


class BenchError(Exception):
    """A measurement failed; the text is the traceback of its process."""


def contender(name: str) -> Contender:
    """Find a contender by the name of its module. A peer's module imports the peer."""
    found = import_module(f"tests.bench.subjects.{name}").contender
    if not isinstance(found, Contender):
        raise TypeError(f"the module {name} has no contender")
    return found


class SubjectProcess:
    """Opens one subject in a new process, and measures it there on request.

    A context manager. The process ends if this one ends, in any way.

    Args:
        name: The contender's name.
        address: Its server.
        size: The number of events on the server.
    """

    def __init__(self, name: str, address: Address, size: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, address, size), daemon=True)
        self._theirs = theirs

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ours.close()
        self._process.join(_STOP_SECONDS)
        self._process.kill()
        self._process.join()

    def measure(self, name: str, seconds: float) -> float:
        """Take one measurement, for about ``seconds``.

        Raises:
            BenchError: The measurement failed.
        """
        self._ours.send((name, seconds))
        try:
            answer = self._ours.recv()
        except EOFError:
            raise BenchError(f"the process ended during {name}") from None
        if isinstance(answer, str):
            raise BenchError(answer)
        return float(answer)


def _serve(orders: "Connection[float | str, tuple[str, float]]", name: str, address: Address, size: int) -> None:
    found = contender(name)
    library = Library(size)
    subject: Subject | None = None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        while True:
            try:
                what, seconds = orders.recv()
            except EOFError:
                break
            try:
                subject = subject or runner.run(_open(found, address))
                orders.send(runner.run(_measure(what, subject, library, seconds)))
            except Exception:  # noqa: BLE001  the parent gets the traceback of any error
                orders.send(traceback.format_exc())
        if subject is not None:
            runner.run(_close(subject))


async def _open(found: Contender, address: Address) -> Subject:
    return await found.open(address)


async def _measure(what: str, subject: Subject, library: Library, seconds: float) -> float:
    return await _ALL[what](subject, library, seconds)


async def _close(subject: Subject) -> None:
    await subject.close()
