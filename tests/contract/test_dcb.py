"""The rules of the DCB specification (https://dcb.events/specification), each as a test; see docs/conformance.md.

In its words a tag is what a predicate finds, a query is a filter, a sequence position is a sequence number, and an
append condition is a boundary with the position up to which it was read.
"""

import asyncio
from typing import Any

import pytest

from eventstore import ConcurrencyConflict, Event, EventStore, Filter, InvalidRequest, P
from tests.support.facts import ANY, about, collected, fact, log, matching, numbers

# The same SQL, whatever speaks to PostgreSQL.
KINDS = ("memory", "asyncpg")

STUDENT, COURSE = P("student", "s1"), P("course", "c1")
WRITERS = 8


def enrolled(student: str = "s1", course: str = "c1") -> Event:
    return fact("Enrolled", student=student, course=course)


async def test_events_are_filtered_by_type_and_by_tag(store: EventStore) -> None:
    """Reading: MUST provide a way to filter events based on their type and/or tag."""
    await store.append([fact("Defined", course="c1"), enrolled(), enrolled(course="c2"), fact("Defined", course="c2")])
    assert await matching(store, Filter.matching().any_event_type_of("Enrolled")) == [2, 3]
    assert await matching(store, Filter.matching().any_predicate_of(COURSE)) == [1, 2]
    both = Filter.matching().any_event_type_of("Enrolled").and_any_predicate_of(COURSE)
    assert await matching(store, both) == [2]


async def test_reading_starts_from_a_position(store: EventStore) -> None:
    """Reading: SHOULD provide a way to read events from a given starting sequence position."""
    await store.append([enrolled(), enrolled(course="c2"), enrolled(student="s2")])
    first, *_ = await log(store)
    assert numbers(await collected(store.read(ANY, after=first.position))) == [2, 3]
    assert numbers(await collected(store.read(about(student="s1"), after=first.position))) == [2]
    assert await matching(store, ANY.sequence_number_higher_than(2)) == [3]


async def test_events_are_persisted_all_or_none(store: EventStore) -> None:
    """Writing: MUST provide a way to atomically persist one or more events."""

    async def seen() -> int:
        return len((await store.query(ANY)).events)

    writing = asyncio.gather(*(store.append([enrolled(), enrolled(), enrolled()]) for _ in range(WRITERS)))
    counts = await asyncio.gather(*(seen() for _ in range(WRITERS)))
    await writing
    assert {count % 3 for count in counts} == {0}
    with pytest.raises(ConcurrencyConflict):
        await store.append([fact("Defined"), enrolled()], boundary=Filter.matching().any_predicate_of(COURSE))
    assert len(await log(store)) == 3 * WRITERS


async def test_an_append_fails_if_an_event_matches_its_condition(store: EventStore) -> None:
    """Writing: MUST fail if the event store contains at least one event matching the append condition."""
    boundary = about(student="s1", course="c1")
    read = await store.query(boundary)
    await store.append([enrolled(student="s2", course="c2")])
    await store.append([enrolled(student="s2")])
    with pytest.raises(ConcurrencyConflict) as raised:
        await store.append([enrolled()], boundary=boundary, after=read.position)
    assert raised.value.sequence_number == 2
    assert len(await log(store)) == 2


async def test_of_writers_with_one_condition_one_succeeds(store: EventStore) -> None:
    """Writing: MUST fail if the condition is matched, also by an event of another client at the same moment."""
    read = await store.query(about(course="c1"))
    answers = await asyncio.gather(
        *(
            store.append([enrolled(student=f"s{n}")], boundary=about(course="c1"), after=read.position)
            for n in range(WRITERS)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, ConcurrencyConflict) for answer in answers) == WRITERS - 1
    assert len(await log(store)) == 1


async def test_a_query_that_names_nothing_is_not_made(store: EventStore) -> None:
    """Query: MUST contain at least one item, or represent a query that matches all events."""
    await store.append([enrolled(), fact("Closed")])
    assert await matching(store, ANY) == [1, 2]
    begun: object = Filter.matching()
    assert not isinstance(begun, Filter)
    with pytest.raises(TypeError):
        Filter.matching().any_event_type_of()  # type: ignore[call-arg]  # a type checker refuses it, too
    with pytest.raises(TypeError):
        Filter.matching().all_predicates_of()  # type: ignore[call-arg]  # the same


async def test_items_of_a_query_are_alternatives(store: EventStore) -> None:
    """Query: all items are combined with OR."""
    await store.append([fact("Defined", course="c1"), enrolled(course="c2"), fact("Closed")])
    one = Filter.matching().any_predicate_of(COURSE)
    assert await matching(store, one) == [1]
    assert await matching(store, one.or_matching().any_predicate_of(STUDENT)) == [1, 2]
    two = one.or_matching().any_predicate_of(STUDENT)
    assert await matching(store, two.or_matching().any_event_type_of("Closed")) == [1, 2, 3]


async def test_an_item_matches_one_of_its_types_and_all_of_its_tags(store: EventStore) -> None:
    """Query item: the type MUST match one of its types, and the tags MUST contain all of its tags."""
    # The example of the specification: a type, two tags, or a type and two tags.
    query = (
        Filter.matching()
        .any_event_type_of("EventType1", "EventType2")
        .or_matching()
        .all_predicates_of(P("tag1", 1), P("tag2", 1))
        .or_matching()
        .any_event_type_of("EventType2", "EventType3")
        .and_all_predicates_of(P("tag1", 1), P("tag3", 1))
    )
    found = [
        fact("EventType1"),
        fact("EventType2", tag4=1),
        fact("EventType4", tag1=1, tag2=1),
        fact("EventType4", tag1=1, tag2=1, tag3=1),
        fact("EventType3", tag1=1, tag3=1),
    ]
    missed = [
        fact("EventType3"),
        fact("EventType3", tag1=1),
        fact("EventType3", tag2=1, tag3=1),
        fact("EventType4", tag1=1, tag3=1),
        fact("EventType4", tag1=2, tag2=1),
    ]
    await store.append(found + missed)
    assert await matching(store, query) == [1, 2, 3, 4, 5]
    # A condition matches what a query finds: each of these alone is in its way, and none of the others.
    *_, last = await log(store)
    for event in missed:
        await store.append([event], boundary=query, after=last.position)
    for event in found:
        *_, last = await log(store)
        await store.append([event])
        with pytest.raises(ConcurrencyConflict):
            await store.append([fact("Never")], boundary=query, after=last.position)


async def test_a_sequenced_event_contains_its_position_and_the_event(store: EventStore) -> None:
    """Sequenced event: MUST contain the sequence position, and the event."""
    event = enrolled()
    receipt = await store.append([event])
    (recorded,) = await log(store)
    assert recorded.sequence_number == receipt.first == 1
    assert (recorded.type, recorded.payload, recorded.occurred_at) == (event.type, event.payload, event.occurred_at)


async def test_a_position_is_unique(store: EventStore) -> None:
    """Sequence position: MUST be unique within the event store; it MAY be ascending, and MAY contain gaps."""
    await asyncio.gather(*(store.append([enrolled(), enrolled()]) for _ in range(WRITERS)))
    # Ascending, and without gaps, here.
    assert numbers(await log(store)) == list(range(1, 2 * WRITERS + 1))


async def test_an_append_of_no_events_records_none(store: EventStore) -> None:
    """Events: MUST not be empty, and MUST be iterable. Here an append of none validates its condition."""
    await store.append((enrolled(), enrolled(course="c2")))
    read = await store.query(ANY)
    receipt = await store.append([], boundary=about(course="c1"), after=read.position)
    assert (receipt.first, receipt.last) == (None, None)
    with pytest.raises(ConcurrencyConflict):
        await store.append([], boundary=about(course="c1"))
    assert len(await log(store)) == 2


async def test_an_event_contains_its_type_its_data_and_its_tags(store: EventStore) -> None:
    """Event: MUST contain type, data and tags; all tags must be exposed, and none is given twice."""
    payload: dict[str, Any] = {"student": "s1", "course": "c1", "grade": [1, {"oral": True}], "remark": None}
    await store.append([fact("Graded", **payload), fact("Closed")])
    graded, closed = await log(store)
    assert (graded.type, graded.payload) == ("Graded", payload)
    assert (closed.type, closed.payload) == ("Closed", {})
    twice = Filter.matching().all_predicates_of(COURSE, COURSE)
    assert twice == Filter.matching().all_predicates_of(COURSE)
    assert await matching(store, twice) == [1]


async def test_events_up_to_the_position_of_a_condition_are_ignored(store: EventStore) -> None:
    """Append condition: MUST ignore events up to `after`, which can be higher than the last matching event's."""
    await store.append([enrolled(), enrolled(course="c2")])
    read = await store.query(about(course="c1"))
    assert read.position.number == 2 > numbers(read.events)[-1]
    receipt = await store.append([enrolled(student="s2")], boundary=about(course="c1"), after=read.position)
    assert receipt.first == 3
    with pytest.raises(ConcurrencyConflict) as raised:
        await store.append([enrolled(student="s3")], boundary=about(course="c1"), after=read.position)
    assert raised.value.sequence_number == 3


async def test_a_condition_without_a_position_ignores_no_event(store: EventStore) -> None:
    """Append condition: `after` MAY be omitted; then any event that matches the query makes it fail."""
    await store.append([enrolled(course="c2")], boundary=about(course="c2"))
    await store.append([enrolled()], boundary=about(course="c1"))
    with pytest.raises(ConcurrencyConflict) as raised:
        await store.append([enrolled()], boundary=about(course="c2"))
    assert raised.value.sequence_number == 1


async def test_a_condition_contains_a_query(store: EventStore) -> None:
    """Append condition: MUST contain a query."""
    read = await store.query(ANY)
    with pytest.raises(InvalidRequest):
        await store.append([enrolled()], after=read.position)
    assert await log(store) == []
