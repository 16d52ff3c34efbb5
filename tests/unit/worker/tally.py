"""A domain for the worker's tests: how often something was counted, up to a limit."""

from dataclasses import dataclass

from pydantic import Field

from eventstore import Filter, P
from handlers.decider import Accepted, Command, Decider, Decision, DomainEvent, Rejected, Unchanged
from handlers.domain import Domain


class Count(Command):
    """Count once more; beyond the limit that is refused, with or without a failure event."""

    key: str = Field(alias="Key")
    limit: int = Field(alias="Limit", default=3)
    quietly: bool = Field(alias="Quietly", default=False)


class CountOnce(Command):
    """Count unless it was counted before."""

    key: str = Field(alias="Key")


class Explode(Command):
    """Meet a bug in the handler."""

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
class Tally:
    counted: int = 0


AnyCommand = Count | CountOnce | Explode


def boundary(command: AnyCommand) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of("Counted", "Forgotten", "CountingFailed")
        .and_any_predicate_of(P("Key", command.key))
    )


def initial(_: AnyCommand) -> Tally:
    return Tally()


def evolve(state: Tally, event: DomainEvent) -> Tally:
    if isinstance(event, Forgotten):
        return Tally()
    return Tally(state.counted + 1) if isinstance(event, Counted) else state


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
    deciders=(
        Decider(command=Count, boundary=boundary, initial=initial, evolve=evolve, decide=decide_count),
        Decider(command=CountOnce, boundary=boundary, initial=initial, evolve=evolve, decide=decide_count_once),
        Decider(command=Explode, boundary=boundary, initial=initial, evolve=evolve, decide=decide_explode),
    ),
    events=(Counted, Forgotten, CountingFailed),
)
