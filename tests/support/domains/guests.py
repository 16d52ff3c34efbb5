"""A domain with Sensitive fields: guests with names."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from eventstore import Filter, P
from handlers import (
    Accepted,
    Command,
    Decider,
    Decision,
    Domain,
    DomainEvent,
    MasterKeys,
    Part,
    PersistentMap,
    Rejected,
    Sensitive,
    View,
)
from worker.settings import Settings

FORGOTTEN = "(forgotten)"
KEY = "TWFzdGVyIGtleSBvZiAzMiBieXRlcywgYSBzZWNyZXQ="
OTHER_KEY = "QW5vdGhlciBrZXkgb2YgMzIgYnl0ZXMsIGEgc2VjcmU="
SETTINGS = Settings(worker_master_keys=(KEY,))


def master() -> MasterKeys:
    return MasterKeys([KEY])


class Register(Command):
    guest: str = Field(alias="Guest")
    name: Annotated[str, Sensitive(subject="Guest", replacement=FORGOTTEN)] = Field(alias="Name")


class Greet(Command):
    guest: str = Field(alias="Guest")


class Count(Command):
    at_least: int = Field(alias="AtLeast")


class GuestRegistered(DomainEvent):
    guest: str = Field(alias="Guest")
    name: Annotated[str, Sensitive(subject="Guest", replacement=FORGOTTEN)] = Field(alias="Name")


class GuestGreeted(DomainEvent):
    guest: str = Field(alias="Guest")
    # Copies a personal value into an unmarked field, which no domain should: the test sees what was decided on.
    words: str = Field(alias="Words")


class GuestsCounted(DomainEvent):
    names: list[str] = Field(alias="Names")


@dataclass(frozen=True, slots=True)
class Guest:
    name: str = ""
    greeted: int = 0


def _of(guest: str) -> Filter:
    return (
        Filter.matching().any_event_type_of("GuestRegistered", "GuestGreeted").and_any_predicate_of(P("Guest", guest))
    )


def _all() -> Filter:
    return Filter.matching().any_event_type_of("GuestRegistered")


def _of_type_greeted(guest: str) -> Filter:
    return Filter.matching().any_event_type_of("GuestGreeted").and_any_predicate_of(P("Guest", guest))


def _evolve(state: Guest, event: DomainEvent) -> Guest:
    match event:
        case GuestRegistered():
            return Guest(event.name, state.greeted)
        case GuestGreeted():
            return Guest(state.name, state.greeted + 1)
        case _:
            return state


def _evolve_all(state: PersistentMap[str, str], event: DomainEvent) -> PersistentMap[str, str]:
    # A view is folded only from events of its own filter, even if others are read together with them.
    assert isinstance(event, GuestRegistered)
    return state.insert(event.guest, event.name)


guest = View(name="guest", events=_of, initial=lambda _: Guest(), evolve=_evolve, stored_every=1)
everybody = View(name="everybody", events=_all, initial=PersistentMap[str, str], evolve=_evolve_all)
greetings = View(
    name="greetings", events=_of_type_greeted, initial=lambda _: 0, evolve=lambda count, _: count + 1, version=1
)


def _register(command: Register, state: Guest) -> Decision:
    if state.name == command.name:
        return Rejected(reason="registered")
    return Accepted(events=(GuestRegistered(guest=command.guest, name=command.name),))


def _greet(command: Greet, state: Guest) -> Decision:
    return Accepted(events=(GuestGreeted(guest=command.guest, words=f"Hello {state.name}"),))


def _count(command: Count, state: PersistentMap[str, str]) -> Decision:
    if len(state) < command.at_least:
        return Rejected(reason="too few")
    return Accepted(events=(GuestsCounted(names=sorted(state.values())),))


domain = Domain(
    name="guests",
    views=(guest, everybody, greetings),
    deciders=(
        Decider(command=Register, parts=lambda command: guest.at(command.guest), decide=_register),
        Decider(command=Greet, parts=lambda command: guest.at(command.guest), decide=_greet),
        Decider(command=Count, parts=lambda _: everybody.at(), decide=_count),
    ),
    events=(GuestRegistered, GuestGreeted, GuestsCounted),
)


def part_of(name: str) -> Part[Guest]:
    return guest.at(name)
