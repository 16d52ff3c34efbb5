"""Marks of personal fields: invalid ones are refused when the domain is created; which parts a mark concerns."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from eventstore import Filter, P, Subject, forgetting_of
from handlers import (
    Accepted,
    Command,
    Decider,
    Domain,
    DomainEvent,
    InvalidDomain,
    InvalidView,
    Sensitive,
    SubjectForgotten,
    Upcaster,
    View,
)
from handlers.erasure.sensitive import sensitive_fields
from tests.support.domains import guests

NAME = Sensitive(subject="guest", replacement="(forgotten)")
MATCHING = Filter.matching()


class Came(DomainEvent):
    guest: str
    name: Annotated[str, NAME]


class Left(DomainEvent):
    guest: str


class Come(Command):
    guest: str
    name: Annotated[str, NAME]


def made(event: type[DomainEvent] = Came, *, views: tuple[View[..., Any], ...] = (), **changes: Any) -> Domain:
    decider = Decider(command=Come, parts=lambda _: (), decide=lambda _: Accepted(events=()))
    return Domain(**{"name": "door", "views": views, "deciders": (decider,), "events": (event, Left), **changes})


def counting(events: Callable[..., Filter], name: str = "count") -> View[..., int]:
    return View(name=name, events=events, initial=lambda *_: 0, evolve=lambda count, _: count + 1)


class Nobody(DomainEvent):
    name: Annotated[str, NAME]


class Secretive(DomainEvent):
    guest: Annotated[str, Sensitive(subject="other", replacement="x")]
    other: str
    name: Annotated[str, NAME]


class Optional(DomainEvent):
    guest: str = "nobody"
    name: Annotated[str, NAME]


class Fraction(DomainEvent):
    guest: Decimal
    name: Annotated[str, NAME]


class Truth(DomainEvent):
    guest: bool
    name: Annotated[str, NAME]


class Short(DomainEvent):
    guest: str
    name: Annotated[str, Field(max_length=3), NAME]


class Wrong(DomainEvent):
    guest: str
    born: Annotated[int, NAME]


class Address(BaseModel):
    street: Annotated[str, NAME]


class Deep(DomainEvent):
    guest: str
    address: list[Address]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (Nobody, "name belongs to the person that 'guest' names, which is not one of its fields"),
        (Secretive, "name belongs to the person that guest names, which is Sensitive itself"),
        (Optional, "name belongs to the person that guest names, which is not a str, int or UUID that each event has"),
        (Fraction, "name belongs to the person that guest names, which is not a str, int or UUID that each event has"),
        (Truth, "name belongs to the person that guest names, which is not a str, int or UUID that each event has"),
        (Short, r"name cannot be replaced by '\(forgotten\)'.*at most 3 characters"),
        (Wrong, r"born cannot be replaced by '\(forgotten\)'.*valid integer"),
        (Deep, "street of Address inside it is Sensitive; mark the event's own field"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_an_invalid_mark_is_refused_in_one_sentence(event: type[DomainEvent], why: str) -> None:
    with pytest.raises(InvalidDomain, match=f"the domain door has the event {event.__name__}, but .*{why}") as refused:
        made(event)
    assert "\n" not in str(refused.value)


def test_a_filter_by_a_marked_field_is_refused() -> None:
    view = counting(lambda: MATCHING.any_event_type_of("Came").and_any_predicate_of(P("name", "Ada")))
    with pytest.raises(InvalidDomain, match=r"the view count \(.*\) asks Came for the field 'name', which is Sens"):
        made(views=(view,))
    view = counting(lambda: MATCHING.any_predicate_of(P("guest", "a"), P("name", "Ada")))
    with pytest.raises(InvalidDomain, match="asks Came for the field 'name'"):
        made(views=(view,))


def test_a_filter_by_a_marked_field_for_some_keys_only_is_refused_when_used() -> None:
    view = counting(lambda field, value: MATCHING.any_event_type_of("Came").and_any_predicate_of(P(field, value)))
    decider = Decider(
        command=Come, parts=lambda come: view.at("name", come.name), decide=lambda *_: Accepted(events=())
    )
    domain = made(views=(view,), deciders=(decider,))
    with pytest.raises(InvalidView, match="asks Came for the field 'name', which is Sensitive"):
        domain.reads(Come(guest="a", name="Ada"))
    domain.sensitive.watched(view.at("guest", "a"))


def test_a_filter_by_an_unmarked_field_of_that_name_is_accepted() -> None:
    class Renamed(DomainEvent):
        name: str

    view = counting(lambda: MATCHING.any_event_type_of("Renamed").and_any_predicate_of(P("name", "Ada")))
    made(views=(view,), events=(Came, Renamed))


@pytest.mark.parametrize("bound", ["since", "until"])
def test_a_filter_with_a_time_bound_is_refused(bound: str) -> None:
    def events(of: str) -> Callable[[], Filter]:
        begun = MATCHING.any_event_type_of(of)
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        return lambda: begun.occurred_from(moment) if bound == "since" else begun.occurred_until(moment)

    with pytest.raises(InvalidDomain, match="reads events with Sensitive fields within a bound of time"):
        made(views=(counting(events("Came")),))
    made(views=(counting(events("Left")),))


@pytest.mark.parametrize(
    ("affinity", "is_refused"),
    [
        (lambda command: command.name, True),
        (lambda command: f"{command.guest}/{command.name[:40].lower()}", True),
        (lambda command: command.guest, False),
        (lambda command: len(command.name), False),
        (lambda command: command.name.nothing, False),
    ],
)
def test_an_affinity_by_a_marked_field_is_refused(affinity: Callable[[Any], Any], *, is_refused: bool) -> None:
    if is_refused:
        with pytest.raises(InvalidDomain, match="the affinity of the domain door looks at name of Come, which is Sens"):
            made(affinity=affinity)
    else:
        made(affinity=affinity)


def test_marks_are_known_by_their_json_names() -> None:
    (field,) = sensitive_fields(guests.GuestRegistered)
    assert (field.name, field.subject, field.replacement) == ("Name", "Guest", "(forgotten)")


def watched(domain: Domain, view: View[..., Any], *key: Any) -> set[Subject | None]:
    """The subjects whose erasure concerns a part; None for all."""
    part = view.at(*key)
    added = set(domain.sensitive.watched(part).items) - set(part.filter.items)
    assert domain.sensitive.are_read_by(part) == bool(added)
    candidates = [None, *(Subject("guest", name) for name in ("ada", "bob", "17"))]
    found = {subject for subject in candidates if forgetting_of(subject) in added}
    assert len(found) == len(added)
    return found


@pytest.mark.parametrize(
    ("events", "subjects"),
    [
        (lambda: MATCHING.any_event_type_of("Left"), []),
        (lambda: MATCHING.any_event_type_of("Came"), [None]),
        (Filter.matching_any_event, [None]),
        (lambda: MATCHING.any_predicate_of(P("guest", "ada")), ["ada"]),
        (lambda: MATCHING.any_event_type_of("Came").and_any_predicate_of(P("guest", "ada")), ["ada"]),
        (lambda: MATCHING.any_predicate_of(P("guest", "ada"), P("guest", "bob")), ["ada", "bob"]),
        (lambda: MATCHING.any_predicate_of(P("guest", "ada"), P("door", 1)), [None]),
        (lambda: MATCHING.all_predicates_of(P("guest", "ada"), P("door", 1)), ["ada"]),
        (lambda: MATCHING.any_predicate_of(P("guest", 17)), ["17"]),
        (lambda: MATCHING.any_predicate_of(P("guest", "ada")).or_matching().any_event_type_of("Came"), [None]),
        (
            lambda: (
                MATCHING.any_event_type_of("Left")
                .or_matching()
                .any_event_type_of("Came")
                .and_any_predicate_of(P("guest", "bob"))
            ),
            ["bob"],
        ),
        (lambda: MATCHING.any_event_type_of("Came").sequence_number_higher_than(7), [None]),
    ],
)
def test_a_part_depends_on_the_subjects_in_its_events(events: Callable[[], Filter], subjects: list[str | None]) -> None:
    view = counting(events)
    expected = {None if each is None else Subject("guest", each) for each in subjects}
    assert watched(made(views=(view,)), view) == expected
    assert made(views=(view,)).sensitive.watched(view.at()).above == events().above


def test_events_of_older_versions_may_contain_sealed_values() -> None:
    step = Upcaster(event="Entered", version=1, changes=(), upcast=dict, renamed_to=Came)
    view = counting(lambda: MATCHING.any_event_type_of("Entered", "Came"))
    old = counting(lambda: MATCHING.any_event_type_of("Came", "Entered").and_any_predicate_of(P("guest", "ada")), "old")
    domain = made(views=(view, old), upcasters=(step,))
    assert watched(domain, view) == {None}
    assert watched(domain, old) == {Subject("guest", "ada")}


def test_a_domain_without_marks_is_unchanged() -> None:
    view = counting(Filter.matching_any_event)
    domain = made(Left, views=(view,), events=(Left,))
    assert not domain.sensitive
    assert domain.sensitive.watched(view.at()) is view.at().filter
    assert domain.state_digest(view.at()) == view.at().filter.digest
    assert "SubjectForgotten" not in domain.event_models


def test_states_stored_before_a_field_was_marked_are_not_used() -> None:
    view = counting(lambda: MATCHING.any_event_type_of("Came"))
    assert made(views=(view,)).state_digest(view.at()) != view.at().filter.digest


def test_a_view_may_select_the_erasure_event() -> None:
    view = counting(lambda: MATCHING.any_event_type_of("Came", "SubjectForgotten"))
    domain = made(views=(view,), events=(Came, SubjectForgotten))
    assert list(domain.examination.problems()) == []
    assert list(made(views=(view,)).examination.problems()) == []


class Numbered(DomainEvent):
    guest: int
    name: Annotated[str | None, Sensitive(subject="guest", replacement=None)] = None
    token: UUID = UUID(int=1)


def test_a_replacement_is_recorded_in_the_fields_form() -> None:
    class Dated(DomainEvent):
        guest: UUID
        born: Annotated[datetime, Sensitive(subject="guest", replacement=datetime(1900, 1, 1, tzinfo=UTC))]

    (field,) = sensitive_fields(Dated)
    assert field.replacement == "1900-01-01T00:00:00Z"
    domain = made(Dated)
    event = domain.to_record(Dated(guest=UUID(int=7), born=datetime(2000, 1, 1, tzinfo=UTC)), {})
    assert domain.sensitive.subjects([event]) == [Subject("guest", str(UUID(int=7)))]
    numbered = made(Numbered)
    assert numbered.sensitive.subjects([numbered.to_record(Numbered(guest=-3), {})]) == [Subject("guest", "-3")]


def test_the_guests_domain_of_other_tests_is_valid() -> None:
    assert list(guests.domain.examination.problems()) == []
    assert replace(guests.domain, name="others").sensitive.subject_fields == {"Guest"}


def test_the_name_of_the_erasure_event_is_reserved() -> None:
    class SubjectForgotten(DomainEvent):
        who: str

    with pytest.raises(InvalidDomain, match="has an event SubjectForgotten of its own"):
        made(events=(Came, SubjectForgotten))
    made(Left, events=(Left, SubjectForgotten))
