"""The library with one more command, whose code fails in every way in which a domain's code can."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from eventstore import ChainBroken, ConcurrencyConflict, Filter, OutcomeUnknown, P, StoreUnavailable
from handlers import Command, Decider, Decision, Domain, DomainEvent, Part, View
from handlers.library import domain as library

__all__ = ["DEADLY", "PANICS", "Panic", "domain"]


class Panic(Command):
    """Fail in this way, at this place: in the parts, in ``evolve``, or in ``decide``."""

    how: str
    where: str = "decide"


class NativePanic(BaseException):
    """What a native extension raises after a panic; not a subclass of ``Exception``."""


class Mute(Exception):
    """An exception that cannot be printed."""

    def __str__(self) -> str:
        raise LookupError("no text")


class MutePanic(BaseException):
    """An exception that cannot be printed: the attempt raises a ``BaseException``."""

    def __str__(self) -> str:
        raise SystemExit("no text")

    __repr__ = __str__


def _raises(error: Callable[[], BaseException]) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error()

    return fail


def _recurse() -> NoReturn:
    _recurse()


PANICS: dict[str, Callable[[], NoReturn]] = {
    "native panic": _raises(lambda: NativePanic("unwrap of nothing")),
    "exit": _raises(lambda: SystemExit(0)),
    "interrupt": _raises(KeyboardInterrupt),
    "cancellation": _raises(asyncio.CancelledError),
    "end of a generator": _raises(lambda: GeneratorExit("end")),
    "end of an iteration": _raises(StopIteration),
    "no memory": _raises(MemoryError),
    "recursion": _recurse,
    "mute": _raises(Mute),
    "mute panic": _raises(MutePanic),
    "no text": _raises(lambda: ValueError("\ud800\x00\x1b[2J")),
    "much text": _raises(lambda: ValueError("x" * 1_000_000)),
    "a database that is down": _raises(lambda: StoreUnavailable("is it?")),
    "an outcome that is unknown": _raises(lambda: OutcomeUnknown("is it?")),
    "a conflict": _raises(lambda: ConcurrencyConflict(sequence_number=1, event_type="BookCopyLent", metadata={})),
    "a broken chain": _raises(lambda: ChainBroken("is it?")),
    "several": _raises(lambda: BaseExceptionGroup("two", [SystemExit(1), Mute()])),
}
"""What is raised, and ends in the dead letters as a handler's error."""


def _killed_by(number: signal.Signals) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        os.kill(os.getpid(), number)
        raise AssertionError("it was not ended")

    return fail


DEADLY: dict[str, Callable[[], NoReturn]] = {
    "killed": _killed_by(signal.SIGKILL),
    "segmentation fault": _killed_by(signal.SIGSEGV),
    "end of the process": lambda: os._exit(0),
}
"""What ends the process that has the command."""


def _fail(command: Panic) -> NoReturn:
    (PANICS | DEADLY)[command.how]()


def _parts(command: Panic) -> Part[int]:
    if command.where == "parts":
        _fail(command)
    return panicked.at("all" if command.where == "evolve" else "none")


def _evolve(_: int, event: DomainEvent) -> int:
    raise NativePanic(type(event).__name__)


def _decide(command: Panic, _: int) -> Decision:
    _fail(command)


def _events(which: str) -> Filter:
    registered = Filter.matching().any_event_type_of("ReaderRegistered")
    return registered if which == "all" else registered.and_any_predicate_of(P("ReaderID", "nobody"))


panicked = View(name="panicked", events=_events, initial=lambda _: 0, evolve=_evolve)

domain = Domain(
    name=library.name,
    views=(*library.views, panicked),
    deciders=(*library.deciders, Decider(command=Panic, parts=_parts, decide=_decide)),
    events=library.events,
    invariants=library.invariants,
)
