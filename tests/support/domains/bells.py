"""A domain that reacts to its own events: a bell that is rung is tolled. A bell's name chooses what fails."""

from collections.abc import Iterable

from pydantic import Field

from eventstore import Filter
from handlers import (
    Accepted,
    Command,
    Decider,
    Decision,
    Domain,
    DomainEvent,
    Part,
    Projected,
    Reaction,
    Relay,
    Send,
    View,
)


class Ring(Command):
    """Ring a bell."""

    bell: str = Field(alias="Bell")


class Toll(Command):
    """Toll a bell."""

    bell: str = Field(alias="Bell")


class Rung(DomainEvent):
    bell: str = Field(alias="Bell")


class Tolled(DomainEvent):
    bell: str = Field(alias="Bell")


RUNG = Filter.matching().any_event_type_of("Rung")


def tolls(seen: Projected[DomainEvent]) -> Command | Send | Iterable[Command | Send] | None:
    match seen.event:
        case Rung(bell="mute"):
            return None
        case Rung(bell="cracked"):
            raise ValueError("the bell is cracked")
        case Rung(bell="twin"):
            return [Toll(bell="left"), Toll(bell="right")]
        case Rung(bell="abroad"):
            return Send(command=Toll(bell="abroad"), to="tower")
        case Rung(bell=bell):
            return Toll(bell=bell)
        case _:
            return None


def events() -> Filter:
    return RUNG


def evolve(state: int, _: DomainEvent) -> int:
    return state + 1


view = View(name="rung", events=events, initial=lambda: 0, evolve=evolve)


def part(_: Command) -> Part[int]:
    return view.at()


def ring(command: Ring, _: int) -> Decision:
    return Accepted(events=(Rung(bell=command.bell),))


def toll(command: Toll, _: int) -> Decision:
    return Accepted(events=(Tolled(bell=command.bell),))


tolling = Reaction(name="tolling", events=RUNG, commands=tolls, begins="start")
late = Reaction(name="late", events=RUNG, commands=tolls)
aloud = Relay(name="aloud", begins="start", subject="Bell")
whole = Relay(name="whole", events=RUNG, mode="structured", begins="start")


def bells(*, reactions: tuple[Reaction, ...] = (), relays: tuple[Relay, ...] = ()) -> Domain:
    """The domain with these reactions and relays."""
    return Domain(
        name="bells",
        views=(view,),
        deciders=(
            Decider(command=Ring, parts=part, decide=ring),
            Decider(command=Toll, parts=part, decide=toll),
        ),
        events=(Rung, Tolled),
        reactions=reactions,
        relays=relays,
    )


domain = bells(reactions=(tolling,), relays=(aloud,))
