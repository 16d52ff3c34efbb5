"""The tally domain with commands that trouble the process that decides them."""

import os
import signal
from pathlib import Path

from pydantic import Field

from eventstore import Filter, P, StoreUnavailable
from handlers import Accepted, Command, Decider, Decision, Domain, Part, View
from tests.support.domains import tally


class Compute(Command):
    """Keep the process busy until a file is there; make another when that begins, if one is named."""

    key: str = Field(alias="Key")
    until: str = Field(alias="Until")
    begun: str | None = Field(alias="Begun", default=None)


class Crash(Command):
    """End the process that decides it by a signal, if one is named: each one, or as often as a file says."""

    key: str = Field(alias="Key")
    signal: int | None = Field(alias="Signal", default=None)
    times: str | None = Field(alias="Times", default=None)


class Blame(Command):
    """Raise what only a store knows."""

    key: str = Field(alias="Key")


class Panic(Command):
    """Raise what no handler of exceptions sees, as a native extension does."""

    key: str = Field(alias="Key")


def events_of(key: str) -> Filter:
    return Filter.matching().any_event_type_of("Counted").and_any_predicate_of(P("Key", key))


counted = View(name="counted", events=events_of, initial=lambda _: tally.Tally(), evolve=tally.evolve)


def parts(command: Compute | Crash | Blame | Panic) -> Part[tally.Tally]:
    return counted.at(command.key)


def decide_compute(command: Compute, _: tally.Tally) -> Decision:
    if command.begun is not None:
        Path(command.begun).touch()
    while not Path(command.until).exists():
        pass
    return Accepted(events=(tally.Counted(key=command.key),))


def decide_crash(command: Crash, _: tally.Tally) -> Decision:
    if command.signal is not None and _again(command.times):
        os.kill(os.getpid(), signal.Signals(command.signal))
    return Accepted(events=(tally.Counted(key=command.key),))


def decide_blame(command: Blame, _: tally.Tally) -> Decision:
    raise StoreUnavailable(command.key)


def decide_panic(command: Panic, _: tally.Tally) -> Decision:
    class PanicException(BaseException):
        pass

    raise PanicException(command.key)


def _again(times: str | None) -> bool:
    if times is None:
        return True
    file = Path(times)
    left = int(file.read_text())
    file.write_text(str(left - 1))
    return left > 0


domain = Domain(
    name=tally.domain.name,
    views=(*tally.domain.views, counted),
    deciders=(
        *tally.domain.deciders,
        Decider(command=Compute, parts=parts, decide=decide_compute),
        Decider(command=Crash, parts=parts, decide=decide_crash),
        Decider(command=Blame, parts=parts, decide=decide_blame),
        Decider(command=Panic, parts=parts, decide=decide_panic),
    ),
    events=tally.domain.events,
)
