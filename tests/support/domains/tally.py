"""A domain for the worker's tests: counters with a limit."""

from dataclasses import dataclass

from pydantic import Field

from eventstore import Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Part, Rejected, Unchanged, View


class Count(Command):
    """Count once more; beyond the limit it is rejected, with or without a failure event."""

    key: str = Field(alias="Key")
    limit: int = Field(alias="Limit", default=3)
    quietly: bool = Field(alias="Quietly", default=False)


class CountOnce(Command):
    """Count unless it was counted before."""

    key: str = Field(alias="Key")


class Explode(Command):
    """Raise an unexpected exception in the handler."""

    key: str = Field(alias="Key")


class Counted(DomainEvent):
    key: str = Field(alias="Key")


class Forgotten(DomainEvent):
    """The count starts again at 0."""

    key: str = Field(alias="Key")


class CountingFailed(DomainEvent):
    key: str = Field(alias="Key")
    reason: str = Field(alias="Reason")


@dataclass(frozen=True, slots=True)
class Tally:
    counted: int = 0


AnyCommand = Count | CountOnce | Explode


def events_of(key: str) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of("Counted", "Forgotten", "CountingFailed")
        .and_any_predicate_of(P("Key", key))
    )


def evolve(state: Tally, event: DomainEvent) -> Tally:
    if isinstance(event, Forgotten):
        return Tally()
    return Tally(state.counted + 1) if isinstance(event, Counted) else state


tally = View(name="tally", events=events_of, initial=lambda _: Tally(), evolve=evolve)


def parts(command: AnyCommand) -> Part[Tally]:
    return tally.at(command.key)


def decide_count(command: Count, state: Tally) -> Decision:
    if state.counted < command.limit:
        return Accepted(events=(Counted(key=command.key),))
    reason = "limit reached"
    return Rejected(reason=reason, event=None if command.quietly else CountingFailed(key=command.key, reason=reason))


def decide_count_once(command: CountOnce, state: Tally) -> Decision:
    return Unchanged() if state.counted else Accepted(events=(Counted(key=command.key),))


def decide_explode(command: Explode, state: Tally) -> Decision:
    raise ZeroDivisionError(f"{command.key} exploded at {state.counted}")


domain = Domain(
    name="tally",
    views=(tally,),
    deciders=(
        Decider(command=Count, parts=parts, decide=decide_count),
        Decider(command=CountOnce, parts=parts, decide=decide_count_once),
        Decider(command=Explode, parts=parts, decide=decide_explode),
    ),
    events=(Counted, Forgotten, CountingFailed),
)
