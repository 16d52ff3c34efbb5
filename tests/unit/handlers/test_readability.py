"""The readable events of a log, counted by type and version, and the first unreadable one."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import Field

from eventstore import Event, Filter, P
from handlers import Domain, DomainEvent, View
from handlers.checks.readability import Readability, TypeReadability
from handlers.testing import recorded
from tests.support.domains.members import ADA, Join, domain, first, join, second
from tests.unit.handlers import lamps

LEFT = Event(type="MemberLeft", payload={"Member": "ada"})


def read(
    *events: Event, domains: tuple[Domain, ...] = (domain,), ignored: tuple[str, ...] = ()
) -> list[TypeReadability]:
    found = Readability(domains, ignored)
    for number, event in enumerate(events, start=1):
        found.take(event.recorded(number, 0))
    return list(found)


def row(type_: str, version: int | None, events: int, **others: Any) -> TypeReadability:
    return TypeReadability(type=type_, version=version, events=events, **{"domain": "club", **others})


def test_readable_events_are_counted_by_type_and_version() -> None:
    assert read(second(), first(), domain.to_record(ADA, {}), first(), LEFT) == [
        row("MemberJoined", 3, 1),
        row("MemberLeft", 1, 1),
        row("MemberSignedUp", 1, 2),
        row("MemberSignedUp", 2, 1),
    ]


def test_the_first_unreadable_event_is_reported_with_field_and_reason() -> None:
    lacking = recorded("MemberSignedUp", {"Member": "ada", "LastName": "K"}, version=2)
    assert read(second(), lacking, recorded("MemberSignedUp", {}, version=2)) == [
        row("MemberSignedUp", 2, 3, unreadable=2, first=2, field="FirstName", reason="FirstName is missing")
    ]
    (broken,) = read(first(name="Ada"))
    assert (broken.unreadable, broken.first, broken.field) == (1, 1, None)
    assert broken.reason is not None
    assert broken.reason.startswith("the upcaster of MemberSignedUp from version 1 raised ValueError: ")


@pytest.mark.parametrize("version", [True, "2", None, [1]])
def test_an_invalid_version_is_reported(version: Any) -> None:
    (found,) = read(Event(type="MemberLeft", payload={"Member": "a"}, metadata={"event_version": version}))
    assert (found.version, found.unreadable, found.first) == (None, 1, 1)


def test_an_unlisted_type_is_reported_unless_it_belongs_to_another_program() -> None:
    strange = Event(type="Strange", payload={})
    reason = "no domain of WORKER_DOMAINS lists it"
    assert read(LEFT, strange) == [
        row("MemberLeft", 1, 1),
        row("Strange", 1, 1, domain=None, unreadable=1, first=2, reason=reason),
    ]
    assert read(strange, ignored=("Strange",)) == [row("Strange", 1, 1, domain=None)]
    both = read(LEFT, Event(type="Broke", payload={"Lamp": "a"}), domains=(domain, lamps.domain))
    assert both == [row("Broke", 1, 1, domain="lamps"), row("MemberLeft", 1, 1)]


def test_memory_does_not_grow_with_the_types_of_a_log() -> None:
    found = read(*(Event(type=f"T{number:05}", payload={}) for number in range(1500)), LEFT)
    assert len(found) == 1001
    assert (found[-1].type, found[-1].events, found[-1].unreadable, found[-1].first) == (None, 501, 500, 1001)


class Moved(DomainEvent):
    member: str = Field(alias="Member")
    branch: str = Field(alias="Branch", default="main")
    note: str | None = Field(alias="Note", default=None)


def moved_to(branch: str) -> Filter:
    return Filter.matching().any_event_type_of("Moved").and_any_predicate_of(P("Branch", branch), P("Note", branch))


def test_an_event_without_a_field_that_filters_use_is_reported() -> None:
    moves = View(name="moves", events=moved_to, initial=lambda _: 0, evolve=lambda state, _: state + 1)
    made = replace(domain, views=(moves,), deciders=(join,), events=(Moved,), upcasters=())
    old, new = {"Member": "ada"}, {"Member": "ada", "Branch": "main"}
    (found,) = read(*(Event(type="Moved", payload=payload) for payload in (new, old, old)), domains=(made,))
    assert (found.events, found.unreadable, found.missed, found.first, found.field) == (3, 0, 2, 2, "Branch")
    assert found.reason == (
        "Branch is missing and read as 'main', by which the view moves does not find it: a filter sees what was "
        "recorded; let the view look at another field"
    )
    # No filter uses the field: no event is missed.
    unasked = replace(made, views=(replace_events(Moved),))
    (found,) = read(Event(type="Moved", payload=old), domains=(unasked,))
    assert (found.missed, found.first) == (0, None)


def replace_events(event: type[DomainEvent]) -> View[..., int]:
    return View(
        name="moves",
        events=lambda member: (
            Filter.matching().any_event_type_of(event.__name__).and_any_predicate_of(P("Member", member))
        ),
        initial=lambda _: 0,
        evolve=lambda state, _: state + 1,
    )


def test_commands_are_not_read_as_events() -> None:
    (found,) = read(Event(type=Join.__name__, payload={}))
    assert found.unreadable == 1
