"""Upcasters: events of older versions are read as current events or reported, and found by every filter."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from eventstore import Event, Filter, MemoryEventStore, P, RecordedEvent
from eventstore.jsontext import MAX_DEPTH
from handlers import (
    Decider,
    Domain,
    DomainEvent,
    InvalidDomain,
    InvalidUpcaster,
    InvalidView,
    NewerEvent,
    Reader,
    UnknownEventType,
    UnreadableEvent,
    Upcaster,
    View,
)
from handlers.testing import accepted, kit, recorded, unchanged
from tests.support.domains.members import (
    ADA,
    NAME_BRANCH,
    SPLIT_NAME,
    Join,
    MemberJoined,
    Members,
    decide,
    domain,
    everybody,
    evolve,
    first,
    join,
    leavers,
    member,
    name_branch,
    second,
    split_name,
)

anything: Any = Upcaster
BOTH_NAMES = Filter.matching().any_event_type_of("MemberSignedUp", "MemberJoined")


def same(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


def upcaster(event: type[DomainEvent] | str, version: int, to: type[DomainEvent] | str | None = None) -> Upcaster:
    return Upcaster(event=event, version=version, renamed_to=to, changes=(), upcast=same)


def on_record(event: Event, number: int = 7) -> RecordedEvent:
    return event.recorded(number, 1)


def line_of(function: Callable[..., Any], offset: int = 0) -> str:
    return f"{__file__}:{inspect.getsourcelines(function)[1] + offset}"


@pytest.mark.parametrize(
    "event", [first(), Event(type="MemberSignedUp", payload={"Member": "ada", "Name": "Ada Lovelace"})]
)
def test_an_event_of_the_first_version_goes_through_every_upcaster(event: Event) -> None:
    assert domain.recorded(on_record(event)) == ADA


def test_an_event_of_a_middle_version_goes_through_the_later_upcasters() -> None:
    assert domain.recorded(on_record(second())) == ADA.model_copy(update={"last_name": "King"})


def test_a_current_event_is_recorded_with_its_version_and_not_upcast() -> None:
    written = domain.to_record(ADA, {"command_id": "c"})
    assert written.metadata == {"command_id": "c", "event_version": 3}
    assert domain.recorded(on_record(written)) == ADA


def test_an_event_with_a_single_version_is_recorded_without_a_version() -> None:
    (_, left) = domain.events
    assert domain.to_record(left.model_validate({"Member": "ada"}), {}).metadata == {}


def test_an_upcaster_does_not_change_the_recorded_payload() -> None:
    event = on_record(first())
    domain.recorded(event)
    assert event.payload == {"Member": "ada", "Name": "Ada Lovelace"}


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (
            recorded("MemberJoined", {}, version=4),
            "it was recorded in version 4, and the domain club knows no later one than 3",
        ),
        (
            recorded("MemberLeft", {}, version=2),
            "it was recorded in version 2, and the domain club knows no later one than 1",
        ),
        (
            recorded("MemberJoined", {}, version=2),
            "it says that it has version 2, in which such an event is called MemberSignedUp",
        ),
        (
            recorded("MemberSignedUp", {}, version=3),
            "it says that it has version 3, in which such an event is called MemberJoined",
        ),
        (recorded("MemberSignedUp", {}, version=0), "its metadata has the event_version 0, which is an integer from 1"),
        (
            recorded("MemberLeft", {}, version=True),
            "its metadata has the event_version True, which is an integer from 1",
        ),
        (recorded("MemberSignedUp", {"Member": "a", "FirstName": "A", "Branch": 1}, version=2), "LastName is missing"),
    ],
)
def test_an_event_of_an_invalid_version_is_reported(event: Event, why: str) -> None:
    with pytest.raises(UnreadableEvent) as raised:
        domain.recorded(on_record(event))
    assert str(raised.value).startswith(f"event 7 ({event.type}) cannot be read: {why}")


@pytest.mark.parametrize("version", [4, 5])
def test_an_event_of_a_later_release_is_reported_as_such(version: int) -> None:
    with pytest.raises(NewerEvent):
        domain.recorded(on_record(recorded("MemberJoined", {}, version=version)))
    with pytest.raises(UnreadableEvent) as raised:
        domain.recorded(on_record(recorded("MemberJoined", {}, version=-version)))
    assert not isinstance(raised.value, NewerEvent)


def leave(_: dict[str, Any]) -> dict[str, Any]:
    raise SystemExit(3)


def empty(payload: dict[str, Any]) -> Any:
    payload.clear()


class Untold(str):
    """A string that JSON cannot represent."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise SystemExit(4)

    __hash__ = str.__hash__


def other_member(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "Member": "eve"}


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (split_name, "raised ValueError: not enough values to unpack (expected 2, got 1) at "),
        (leave, f"raised SystemExit: 3 at {line_of(leave, 1)}"),
        (empty, f"({line_of(empty)}) returns the payload of the next version, not None"),
        (lambda payload: [*payload], "returns the payload of the next version, not a list"),
        (other_member, f"({line_of(other_member)}) changes the field 'Member'; add it to its changes"),
        (lambda _: {}, "changes the field 'Member'; add it to its changes"),
        (lambda payload: payload | {"Name": float("inf")}, "returns a payload that "),
        (lambda payload: payload | {"Name": Untold()}, "returns a payload that "),
    ],
)
def test_a_failing_upcaster_is_reported_with_the_events_number_and_line(function: Any, why: str) -> None:
    step = Upcaster(event="MemberSignedUp", version=1, changes=("Name", "FirstName", "LastName"), upcast=function)
    broken = replace(domain, upcasters=(step, NAME_BRANCH))
    with pytest.raises(UnreadableEvent) as raised:
        broken.recorded(on_record(first(name="Ada"), 12))
    text = str(raised.value)
    assert text.startswith(
        "event 12 (MemberSignedUp) cannot be read: the upcaster of MemberSignedUp from version 1 "
    ), text
    assert why in text
    if function is split_name:
        source, line = inspect.getsourcelines(split_name)
        assert text.endswith(f"{inspect.getsourcefile(split_name)}:{line + 1}"), source


def test_a_value_of_another_type_is_another_value() -> None:
    step = Upcaster(event="MemberLeft", version=1, changes=(), upcast=lambda payload: {**payload, "Age": True})
    changed = replace(domain, upcasters=(*domain.upcasters, step), views=(member,), deciders=(join,))
    with pytest.raises(UnreadableEvent, match="changes the field 'Age'"):
        changed.recorded(on_record(recorded("MemberLeft", {"Member": "ada", "Age": 1})))


def test_an_upcast_payload_may_be_as_deep_as_the_store_allows() -> None:
    deep: list[Any] = []
    for _ in range(MAX_DEPTH - 2):
        deep = [deep]
    event = recorded("MemberSignedUp", {"Member": "ada", "Name": "Ada Lovelace", "More": deep})
    assert domain.recorded(on_record(event)) == ADA


def test_a_read_only_mapping_is_a_payload_too() -> None:
    step = replace(SPLIT_NAME, upcast=lambda payload: MappingProxyType(split_name(payload)))
    assert replace(domain, upcasters=(step, NAME_BRANCH)).recorded(on_record(first())) == ADA


def test_a_keyboard_interrupt_passes_through() -> None:
    def interrupt(_: dict[str, Any]) -> dict[str, Any]:
        raise KeyboardInterrupt

    step = replace(SPLIT_NAME, upcast=interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace(domain, upcasters=(step, NAME_BRANCH)).recorded(on_record(first()))


async def nothing(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"event": ""}, "an upcaster takes an event's class or its name as event, not ''"),
        ({"event": Join}, "an upcaster takes an event's class or its name as event, not "),
        ({"event": DomainEvent}, "an upcaster takes an event's class or its name as event, not "),
        ({"renamed_to": 3}, "an upcaster takes an event's class or its name as renamed_to, not 3"),
        ({"renamed_to": "MemberSignedUp"}, "renames it to the name that it has; leave renamed_to out"),
        ({"version": 0}, "the versions of MemberSignedUp are 1, 2, 3 …; no upcaster reads 0"),
        ({"version": True}, "no upcaster reads True"),
        ({"version": "1"}, "no upcaster reads '1'"),
        ({"changes": "Name"}, "takes a tuple as its changes, not 'Name'; is a comma missing?"),
        ({"changes": (1,)}, "changes fields by their JSON names, not 1"),
        ({"upcast": None}, "needs a function as its upcast, not None"),
        ({"upcast": nothing}, "and this one is async: nothing is awaited here"),
    ],
)
def test_an_invalid_upcaster_is_refused(change: dict[str, Any], problem: str) -> None:
    given = {"event": "MemberSignedUp", "version": 1, "changes": (), "upcast": same, **change}
    with pytest.raises(InvalidUpcaster) as raised:
        anything(**given)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("upcasters", "problem"),
    [
        ([SPLIT_NAME, NAME_BRANCH, upcaster("MemberSignedUp", 1)], "two upcasters read version 1 of MemberSignedUp: "),
        ([NAME_BRANCH], "no upcaster leads to version 2 of MemberSignedUp, though one reads it"),
        ([SPLIT_NAME], "the upcaster of MemberSignedUp from version 1 ("),
        ([SPLIT_NAME, NAME_BRANCH, upcaster("MemberJoined", 4)], "no upcaster leads to version 4 of MemberJoined"),
        ([SPLIT_NAME, NAME_BRANCH, upcaster("MemberJoined", 2)], "two upcasters lead to version 3 of MemberJoined: "),
        (
            [upcaster("Met", 1, MemberJoined), upcaster("Came", 1, MemberJoined)],
            "two upcasters lead to version 2 of MemberJoined: ",
        ),
        (
            [upcaster("MemberJoined", 1, "MemberLeft")],
            "filters by that type would mean two things; give one of them another name",
        ),
        (
            [upcaster("A", 1, "B"), upcaster("B", 2, "A"), upcaster("A", 3, MemberJoined)],
            "A is renamed to B and back by version 4",
        ),
        ([upcaster("A", 1, "B"), upcaster("B", 2, "A")], " leads back to A, and to no event of the domain"),
        (
            [upcaster("A", 1, MemberJoined), upcaster("A", 2, "MemberLeft"), upcaster("A", 1, "MemberLeft")],
            "two upcasters read version 1 of A",
        ),
        (
            [upcaster("A", 1, MemberJoined), upcaster("B", 1, "A"), upcaster("A", 2, "MemberLeft")],
            "A becomes both MemberJoined and MemberLeft; it can be read as one of them",
        ),
        ([upcaster("MemberLeft", 1), "MemberJoined"], "lists 'MemberJoined' among its upcasters, which is no Upcaster"),
    ],
)
def test_missing_or_ambiguous_upcasters_are_refused(upcasters: list[Any], problem: str) -> None:
    with pytest.raises(InvalidDomain) as raised:
        replace(domain, upcasters=tuple(upcasters))
    assert problem in str(raised.value), raised.value


def view_of(events: Callable[..., Filter]) -> View[..., Any]:
    return View(name="member", events=events, initial=lambda *_: Members(), evolve=evolve)


def new_name_only(member: str) -> Filter:
    return Filter.matching().any_event_type_of("MemberJoined").and_any_predicate_of(P("Member", member))


def old_name_only(member: str) -> Filter:
    return Filter.matching().any_event_type_of("MemberSignedUp").and_any_predicate_of(P("Member", member))


def by_new_field(branch: str) -> Filter:
    return BOTH_NAMES.and_any_predicate_of(P("Branch", branch))


def by_changed_field(name: str) -> Filter:
    return BOTH_NAMES.and_all_predicates_of(P("FirstName", name), P("Member", name))


def by_any_type(name: str) -> Filter:
    return Filter.matching().any_predicate_of(P("LastName", name))


def second_alternative(_: str) -> Filter:
    return BOTH_NAMES.or_matching().any_event_type_of("MemberLeft", "MemberJoined")


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        (
            new_name_only,
            "names the event type MemberJoined and not MemberSignedUp, as events of it are called in other",
        ),
        (
            old_name_only,
            "names the event type MemberSignedUp and not MemberJoined, as events of it are called in other",
        ),
        (second_alternative, "names the event type MemberJoined and not MemberSignedUp"),
        (
            by_new_field,
            "for the field 'Branch', which an upcaster changes: it would not find the events of versions 1 to 2",
        ),
        (
            by_changed_field,
            "for the field 'FirstName', which an upcaster changes: it would not find the events of version 1 as",
        ),
        (by_any_type, "asks MemberJoined for the field 'LastName', which an upcaster changes"),
    ],
)
def test_a_filter_that_would_miss_older_events_is_refused_with_the_domain(events: Any, problem: str) -> None:
    asked = view_of(events)
    with pytest.raises(InvalidDomain) as raised:
        replace(domain, views=(asked,))
    assert f"the domain club: the view member ({line_of(events)})" in str(raised.value)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    "events",
    [
        lambda member: BOTH_NAMES.and_any_predicate_of(P("Member", member)),
        lambda member: Filter.matching().any_predicate_of(P("Member", member)),
        lambda member: Filter.matching().any_event_type_of("MemberLeft").and_any_predicate_of(P("Branch", member)),
        lambda _: Filter.matching_any_event(),
    ],
)
def test_a_filter_that_finds_every_version_is_accepted(events: Any) -> None:
    replace(domain, views=(view_of(events),))


async def test_a_filter_that_misses_events_for_some_keys_is_refused_when_read() -> None:
    def by_key(member: str) -> Filter:
        return events_by(member) if member == "sample" else new_name_only(member)

    def events_by(member: str) -> Filter:
        return BOTH_NAMES.and_any_predicate_of(P("Member", member))

    asked = view_of(by_key)
    made = replace(domain, views=(asked,), deciders=(deciding_by(asked),))
    made.reads(Join(member="sample", first_name="A", last_name="B"))
    with pytest.raises(InvalidView, match="names the event type MemberJoined and not MemberSignedUp"):
        made.reads(Join(member="ada", first_name="A", last_name="B"))
    with pytest.raises(InvalidView, match="names the event type MemberJoined and not MemberSignedUp"):
        await Reader(MemoryEventStore(), made).state(asked.at("ada"))
    with pytest.raises(AssertionError, match="names the event type MemberJoined and not MemberSignedUp"):
        kit(made)().sees(asked.at("ada"), Members())


def deciding_by(asked: View[..., Any]) -> Any:
    return Decider(command=Join, parts=lambda command: asked.at(command.member), decide=decide)


def test_decisions_see_members_of_every_version() -> None:
    given = kit(domain)
    asked = Join(member="ada", first_name="Ada", last_name="Lovelace")
    given().when(asked).then(accepted(ADA)).then_again(unchanged())
    given(first()).when(asked).then(unchanged())
    given(second()).when(asked).then(unchanged())
    given(first("eve")).when(asked).then(accepted(ADA))
    given(first(), second("eve"), ADA).sees(everybody.at(), Members(3, "Ada Lovelace (main)"))


def test_the_kit_reports_payloads_that_no_upcaster_reads() -> None:
    with pytest.raises(UnreadableEvent, match="event 2 "):
        kit(domain)(first(), first(name="Ada")).sees(everybody.at(), Members())
    with pytest.raises(UnknownEventType):
        kit(domain)(recorded("MemberVanished", {})).sees(everybody.at(), Members())


def test_the_kit_finds_an_impure_upcaster() -> None:
    count = iter(range(100))
    step = replace(NAME_BRANCH, upcast=lambda payload: name_branch(payload) | {"Branch": str(next(count))})
    impure = replace(domain, upcasters=(SPLIT_NAME, step))
    with pytest.raises(AssertionError, match="an upcaster of MemberSignedUp is not pure: read twice, it is "):
        kit(impure)(first()).sees(everybody.at(), Members())


def test_current_events_are_recorded_without_upcasting() -> None:
    event = on_record(domain.to_record(ADA, {}))
    assert domain.as_of_today(event) == ("MemberJoined", event.payload)
    assert domain.as_of_today(on_record(first())) == ("MemberJoined", event.payload)


def test_former_event_names_are_known() -> None:
    assert domain.event_models["MemberSignedUp"] is MemberJoined
    assert set(domain.event_models) == {"MemberSignedUp", "MemberJoined", "MemberLeft"}


async def total(store: MemoryEventStore, made: Domain) -> Members:
    """Read the view of all members with a new reader."""
    reader = Reader(store, made)
    state = await reader.state(everybody.at())
    await reader.close()
    return state


def name_other_branch(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "Branch": "other"}


@pytest.mark.parametrize(
    ("upcasters", "last"),
    [
        ((SPLIT_NAME, replace(NAME_BRANCH, upcast=name_other_branch)), "Ada King (other)"),
        (
            (
                SPLIT_NAME,
                replace(NAME_BRANCH, renamed_to=None),
                replace(NAME_BRANCH, version=3, upcast=name_other_branch),
            ),
            "Ada King (other)",
        ),
    ],
)
async def test_states_of_other_upcasters_are_not_used(upcasters: tuple[Upcaster, ...], last: str) -> None:
    store = MemoryEventStore()
    await store.append([first(), second()])
    assert await total(store, domain) == Members(2, "Ada King (main)")
    assert len(store._states) == 1
    changed = replace(domain, upcasters=upcasters)
    assert await total(store, changed) == Members(2, last)
    assert len(store._states) == 2
    # Workers of both versions can run at the same time, each with its own states.
    assert await total(store, domain) == Members(2, "Ada King (main)")


def test_states_without_upcast_events_are_kept() -> None:
    other = replace(domain, upcasters=(SPLIT_NAME, replace(NAME_BRANCH, upcast=name_other_branch)))
    asked = leavers.at()
    assert domain.state_digest(asked) == other.state_digest(asked) == asked.filter.digest
    assert domain.state_digest(everybody.at()) not in {other.state_digest(everybody.at()), everybody.at().filter.digest}
    anyone = View(name="anyone", events=Filter.matching_any_event, initial=Members, evolve=evolve).at()
    assert domain.state_digest(anyone) != other.state_digest(anyone)


def test_the_same_upcasters_have_the_same_states_in_every_process() -> None:
    """The iteration order of sets differs between processes."""
    program = (
        "from tests.support.domains.members import domain, everybody; "
        "print(domain.state_digest(everybody.at()).hex(), end='')"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {domain.state_digest(everybody.at()).hex()}
