"""Two domains with views of one name, whose keys are no texts."""

from math import inf, nan
from typing import NoReturn

from eventstore import Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, View


class Count(Command):
    number: int
    loud: bool


class Labelled(DomainEvent):
    label: str


class Counted(DomainEvent):
    number: int
    loud: bool


def counted(number: int, loud: bool) -> Filter:  # noqa: FBT001  a key of two values
    return Filter.matching().any_event_type_of("Counted").and_all_predicates_of(P("number", number), P("loud", loud))


def once_more(times: int, _: DomainEvent) -> int:
    return times + 1


def decide(command: Count, _: int) -> Decision:
    return Accepted(events=(Counted(number=command.number, loud=command.loud),))


def anyhow(number: str | int) -> Filter:
    return Filter.matching().any_event_type_of("Counted").and_any_predicate_of(P("number", number))


def broken(_: int, event: DomainEvent) -> int:
    raise KeyError(f"no {type(event).__name__}")


def unshown(_: bytes, event: DomainEvent) -> bytes:
    return b"\xff" * isinstance(event, Counted)


def undeclared(label) -> Filter:  # type: ignore[no-untyped-def]  # noqa: ANN001  that is the point
    return Filter.matching().any_event_type_of("Labelled").and_any_predicate_of(P("label", label))


def lost(number: int) -> Filter:
    raise LookupError(f"no {number}")


def ended(*_: object) -> NoReturn:
    raise SystemExit(0)


def ended_at(_: int) -> Filter:
    ended()


def kept(state: object, _: DomainEvent) -> object:
    return state


class Unseen:
    """A state that does not like to be looked at."""

    def __repr__(self) -> str:
        raise LookupError("not to be seen")


def _domain(name: str) -> Domain:
    times = View(name="times", events=counted, initial=lambda *_: 0, evolve=once_more)
    more = (
        View(name="anyhow", events=anyhow, initial=lambda _: 0, evolve=once_more),
        View(name="broken", events=anyhow, initial=lambda _: 0, evolve=broken),
        View(name="unshown", events=anyhow, initial=lambda _: b"", evolve=unshown),
        View(name="labelled", events=undeclared, initial=lambda _: 0, evolve=once_more),
        View(name="lost", events=lost, initial=lambda _: 0, evolve=once_more),
        View(name="ended", events=ended_at, initial=lambda _: 0, evolve=once_more),
        View(name="unbegun", events=anyhow, initial=ended, evolve=once_more),
        View(name="unseen", events=anyhow, initial=lambda _: Unseen(), evolve=kept),
        View(name="no-text", events=anyhow, initial=lambda _: "\ud800", evolve=kept),
        View(name="beyond", events=anyhow, initial=lambda _: (nan, inf), evolve=kept),
    )
    decider = Decider(command=Count, parts=lambda command: times.at(command.number, command.loud), decide=decide)
    return Domain(name=name, views=(times, *more), deciders=(decider,), events=(Counted, Labelled))


domain = _domain("numbers")
other = _domain("others")
