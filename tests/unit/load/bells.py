"""A second domain for the tests of load runs: bells that ring once each."""

from pydantic import Field

from eventstore import Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Invariant, Unchanged, View
from handlers.invariant import Check


class Ring(Command):
    key: str = Field(alias="Key")


class Rung(DomainEvent):
    key: str = Field(alias="Key")


def decide(command: Ring, rung: bool) -> Decision:  # noqa: FBT001  the view's state is a bool
    return Unchanged() if rung else Accepted(events=(Rung(key=command.key),))


def never_twice() -> Check:
    seen: set[str] = set()

    def check(number: int, event: DomainEvent) -> str | None:
        if not isinstance(event, Rung):
            return f"event {number} is no bell's"
        if event.key in seen:
            return f"event {number} rings {event.key} again"
        seen.add(event.key)
        return None

    return check


rung = View(
    name="tally",  # the other domain has an event of this name
    events=lambda key: Filter.matching().any_event_type_of("Rung").and_any_predicate_of(P("Key", key)),
    initial=lambda _key: False,
    evolve=lambda *_: True,
)
bells = Domain(
    name="bells",
    views=(rung,),
    deciders=(Decider(command=Ring, parts=lambda command: rung.at(command.key), decide=decide),),
    events=(Rung,),
    invariants=(Invariant(name="never twice", start=never_twice),),
)
