"""A domain for the tests of load runs: how often something was counted, up to a limit."""

from dataclasses import dataclass

from pydantic import Field

from eventstore import Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Part, Rejected, Unchanged, View


class Count(Command):
    """Count once more; beyond the limit that is refused, with or without a failure event."""

    key: str = Field(alias="Key")
    limit: int = Field(alias="Limit", default=3)
    quietly: bool = Field(alias="Quietly", default=False)


class CountOnce(Command):
    """Count unless it was counted before."""

    key: str = Field(alias="Key")


class Counted(DomainEvent):
    key: str = Field(alias="Key")


class Forgotten(DomainEvent):
    """All counting until now is void."""

    key: str = Field(alias="Key")


class CountingFailed(DomainEvent):
    key: str = Field(alias="Key")
    reason: str = Field(alias="Reason")


@dataclass(frozen=True, slots=True)
class Counter:
    counted: int = 0


def counts_of(key: str) -> Filter:
    types = ("Counted", "Forgotten", "CountingFailed")
    return Filter.matching().any_event_type_of(*types).and_any_predicate_of(P("Key", key))


def evolve(counter: Counter, event: DomainEvent) -> Counter:
    if isinstance(event, Forgotten):
        return Counter()
    return Counter(counter.counted + 1) if isinstance(event, Counted) else counter


counter = View(name="counter", events=counts_of, initial=lambda _key: Counter(), evolve=evolve)


def parts(command: Count | CountOnce) -> Part[Counter]:
    return counter.at(command.key)


def decide_count(command: Count, state: Counter) -> Decision:
    if state.counted < command.limit:
        return Accepted(events=(Counted(key=command.key),))
    reason = "limit reached"
    return Rejected(reason=reason, event=None if command.quietly else CountingFailed(key=command.key, reason=reason))


def decide_count_once(command: CountOnce, state: Counter) -> Decision:
    return Unchanged() if state.counted else Accepted(events=(Counted(key=command.key),))


domain = Domain(
    name="counting",
    views=(counter,),
    deciders=(
        Decider(command=Count, parts=parts, decide=decide_count),
        Decider(command=CountOnce, parts=parts, decide=decide_count_once),
    ),
    events=(Counted, Forgotten, CountingFailed),
)
