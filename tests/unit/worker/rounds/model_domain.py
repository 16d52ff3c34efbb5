"""A domain for the model: commands contain what they read and record; states depend on the order of events."""

from datetime import UTC, datetime, timedelta
from typing import Any

from eventstore import Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Part, Rejected, Unchanged, View

BASE = 11
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Moved(DomainEvent):
    k: int
    j: str
    v: int
    seen: int = 0


class Marked(DomainEvent):
    k: int
    j: str
    v: int
    seen: int = 0


class Do(Command):
    """Read some parts; then record events or raise, depending on their states."""

    reads: tuple[tuple[str, int, str], ...]
    writes: tuple[tuple[str, int, str, int], ...]
    raises: str = ""


KINDS: dict[str, type[Moved] | type[Marked]] = {"Moved": Moved, "Marked": Marked}


def by_key(k: int) -> Filter:
    return Filter.matching().any_predicate_of(P("k", k))


def by_type() -> Filter:
    return Filter.matching().any_event_type_of("Marked")


def by_both(k: int, j: str) -> Filter:
    both = Filter.matching().all_predicates_of(P("k", k), P("j", j))
    return both.or_matching().any_event_type_of("Marked").and_any_predicate_of(P("j", j))


def since_number(k: int, number: int) -> Filter:
    return Filter.matching().any_predicate_of(P("k", k)).sequence_number_higher_than(number)


def until_time(k: int, milliseconds: int) -> Filter:
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    return Filter.matching().any_event_type_of("Moved", "Marked").and_any_predicate_of(P("k", k)).occurred_until(moment)


def brittle_of(k: int) -> Filter:
    return Filter.matching().any_event_type_of("Moved").and_any_predicate_of(P("k", k))


def mix(state: int, event: DomainEvent) -> int:
    # Small ints are one object in Python: code that compares states by identity would fail.
    assert isinstance(event, Moved | Marked)
    return (3 * state + 7 * event.v + isinstance(event, Marked)) % BASE


def mix_brittle(state: int, event: DomainEvent) -> int:
    if isinstance(event, Moved) and event.v == 13:
        raise ArithmeticError("no view can fold 13")
    return mix(state, event)


def begin(*_: object) -> int:
    return 0


VIEWS: dict[str, View[..., int]] = {
    "key": View(name="key", events=by_key, initial=begin, evolve=mix),
    "type": View(name="type", events=by_type, initial=begin, evolve=mix),
    "both": View(name="both", events=by_both, initial=begin, evolve=mix),
    "since": View(name="since", events=since_number, initial=begin, evolve=mix),
    "until": View(name="until", events=until_time, initial=begin, evolve=mix),
    "brittle": View(name="brittle", events=brittle_of, initial=begin, evolve=mix_brittle),
}


def part_of(name: str, number: int, text: str) -> Part[int]:
    view = VIEWS[name]
    match name:
        case "type":
            return view.at()
        case "both":
            return view.at(number, text)
        case "since" | "until":
            return view.at(number, int(text))
        case _:
            return view.at(number)


def seen_in(states: tuple[int, ...]) -> int:
    seen = 1
    for state in states:
        seen = (seen * BASE + state) % 1_000_003
    return seen


def decide(command: Do, *states: int) -> Decision:
    seen = seen_in(states)
    if command.raises and seen % 4 == 0:
        raise SystemExit(seen) if command.raises == "exit" else LookupError(seen)
    events = tuple(KINDS[kind](k=k, j=j, v=v, seen=seen) for kind, k, j, v in command.writes)
    match seen % 6:
        case 0:
            return Unchanged()
        case 1:
            return Rejected(reason=str(seen), event=events[0] if events else None)
        case _:
            return Accepted(events=events) if events else Unchanged()


def parts(command: Do) -> Any:
    return tuple(part_of(*read) for read in command.reads)


domain = Domain(
    name="model",
    views=tuple(VIEWS.values()),
    deciders=(Decider(command=Do, parts=parts, decide=decide),),
    events=(Moved, Marked),
)
