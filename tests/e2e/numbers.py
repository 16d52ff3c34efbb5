"""Two domains with views of one name, whose keys are no texts."""

from eventstore import Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, View


class Count(Command):
    number: int
    loud: bool


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


def _domain(name: str) -> Domain:
    times = View(name="times", events=counted, initial=lambda *_: 0, evolve=once_more)
    more = (
        View(name="anyhow", events=anyhow, initial=lambda _: 0, evolve=once_more),
        View(name="broken", events=anyhow, initial=lambda _: 0, evolve=broken),
        View(name="unshown", events=anyhow, initial=lambda _: b"", evolve=unshown),
    )
    decider = Decider(command=Count, parts=lambda command: times.at(command.number, command.loud), decide=decide)
    return Domain(name=name, views=(times, *more), deciders=(decider,), events=(Counted,))


domain = _domain("numbers")
other = _domain("others")
