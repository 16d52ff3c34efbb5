"""Generation: a scenario's commands, with errors of its code reported in a sentence."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from handlers.domain import Domain
from handlers.errors import InvalidScenario
from handlers.kind import kind_of
from handlers.model import Command
from handlers.place import place_of, raised_at
from handlers.scenario import Scenario, Workload

__all__ = ["generated"]


def generated(
    scenario: Scenario, domains: Sequence[Domain], rng: random.Random, commands: int, *, prefix: str
) -> Workload:
    """Return a scenario's workload. Each command is checked when it is generated.

    Args:
        scenario: The scenario.
        domains: The domains whose commands it may contain.
        rng: The random generator; the same state generates the same commands.
        commands: The number of commands of the load.
        prefix: The prefix of every name in the commands.

    Raises:
        InvalidScenario: ``workload`` raises an exception, or returns something else. Set-up, load and ``answered`` of
            the result raise it for an exception, and for what is no command of the domains.
    """
    named = f"workload of the scenario {scenario.name} ({place_of(type(scenario).workload)})"
    try:
        workload: object = scenario.workload(rng, commands, prefix=prefix)
    except Exception as bug:  # any error of a scenario
        raise _told(named, bug) from bug
    if not isinstance(workload, Workload):
        raise InvalidScenario(f"{named} returns a Workload, not {kind_of(workload)}")
    kinds = {decider.command: decider.name for domain in domains for decider in domain.deciders}
    return replace(
        workload,
        setup=_checked(named, "set-up", workload.setup, kinds),
        load=_checked(named, "load", workload.load, kinds),
        answered=None if workload.answered is None else _hearing(named, workload.answered),
    )


def _checked(named: str, what: str, commands: object, kinds: dict[type[Command], str]) -> Iterator[Command]:
    if not isinstance(commands, Iterable):
        raise InvalidScenario(f"{named} gives {kind_of(commands)} as its {what}, which is an iterable of commands")
    return _each(named, what, commands, kinds)


def _each(named: str, what: str, commands: Iterable[Any], kinds: dict[type[Command], str]) -> Iterator[Command]:
    remaining = iter(commands)
    while True:
        try:
            command = next(remaining)
        except StopIteration:
            return
        except Exception as bug:  # any error of a scenario
            raise _told(named, bug) from bug
        if type(command) not in kinds:
            known = ", ".join(sorted(kinds.values()))
            raise InvalidScenario(f"{named} has {kind_of(command)} in its {what}; its commands are {known}")
        yield command


def _hearing(named: str, answered: Callable[[int, datetime], None]) -> Callable[[int, datetime], None]:
    def heard(number: int, at: datetime) -> None:
        try:
            answered(number, at)
        except Exception as bug:  # any error of a scenario
            raise _told(named, bug) from bug

    return heard


def _told(named: str, bug: Exception) -> InvalidScenario:
    place = raised_at(bug)
    where = "" if place is None else f" in {place[0]} ({place[1]})"
    text = f": {bug}" if str(bug) else ""
    return InvalidScenario(f"{named} raised {type(bug).__name__}{where}{text}")
