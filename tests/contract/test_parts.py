"""Boundaries of parts: each part is checked from its own position, besides what it has seen itself."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import uuid4

import pytest
from msgspec.structs import replace

from eventstore import (
    START,
    Append,
    BoundaryPart,
    ChainBroken,
    ConcurrencyConflict,
    Event,
    EventStore,
    EventStoreError,
    Filter,
    HistoryDiverged,
    IdempotencyKeyReused,
    InvalidRequest,
    OwnRange,
    Position,
    Receipt,
)
from eventstore.position import LAST_NUMBER
from tests.support.facts import ANY, MONDAY, about, fact, log, matching, positions

BOOK, READER = about(Book="b"), about(Reader="r")


def part(boundary: Filter, after: Position = START, *besides: OwnRange) -> BoundaryPart:
    return BoundaryPart(filter=boundary, after=after, besides=besides)


def own(places: Sequence[Position], first: int, last: int) -> OwnRange:
    return OwnRange(first=first, last=places[last])


def link(*events: Event, parts: Sequence[BoundaryPart]) -> Append:
    return Append(events=events, boundary=parts, key=uuid4())


def kinds(found: list[Receipt | EventStoreError]) -> list[object]:
    return [(one.first, one.last) if isinstance(one, Receipt) else type(one) for one in found]


async def test_each_part_is_checked_from_its_own_position(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    await store.append([fact(Reader="r")])
    _, first, second = await positions(store)
    recorded = await store.append([fact()], boundary=[part(BOOK, first), part(READER, second)])
    assert recorded.first == 3
    with pytest.raises(ConcurrencyConflict) as conflict:
        await store.append([fact()], boundary=[part(BOOK, first), part(READER, first)])
    assert (conflict.value.sequence_number, conflict.value.event_type, conflict.value.part) == (2, "Lent", 1)
    assert len(await log(store)) == 3


async def test_parts_are_no_merged_filter(store: EventStore) -> None:
    await store.append([fact(Book="b"), fact(Reader="r")])
    bounded = Filter.matching().any_event_type_of("Lent").and_any_predicate_of
    await store.append(
        [fact("Done")],
        boundary=[
            part(about(Book="c")),
            part(Filter.matching_any_event().sequence_number_higher_than(2)),
            part(Filter.matching_any_event().occurred_until(MONDAY.replace(year=2000))),
            part(bounded(*BOOK.predicates).sequence_number_higher_than(1)),
        ],
    )
    assert await matching(store, Filter.matching().any_event_type_of("Done")) == [3]


async def test_the_first_conflicting_event_and_the_first_part_it_lies_in_are_named(store: EventStore) -> None:
    await store.append([fact("First", Reader="r", Book="b"), fact("Second", Book="c")])
    parts = [part(about(Book="c")), part(READER), part(BOOK)]
    with pytest.raises(ConcurrencyConflict) as conflict:
        await store.append([fact()], boundary=parts)
    assert (conflict.value.sequence_number, conflict.value.event_type, conflict.value.part) == (1, "First", 1)
    assert conflict.value.metadata == {"by": "test"}


async def test_what_a_part_has_seen_itself_is_no_conflict_for_it(store: EventStore) -> None:
    await store.append([fact(Book="x")])
    await store.append([fact(Book="b"), fact(Book="b")])
    places = await positions(store)
    seen = part(BOOK, START, own(places, 2, 3))
    assert (await store.append([fact(Book="c")], boundary=[seen])).first == 4
    await store.append([fact(Book="b")])
    with pytest.raises(ConcurrencyConflict) as conflict:
        await store.append([fact()], boundary=[seen])
    assert conflict.value.sequence_number == 5
    several = replace(seen, besides=(*seen.besides, own(await positions(store), 5, 5)))
    assert (await store.append([], boundary=[several])).position.number == 5


async def test_a_range_speaks_for_its_own_part_alone(store: EventStore) -> None:
    # Another part of the same append has not been folded with it.
    await store.append([fact(Book="b", Reader="r")])
    places = await positions(store)
    with pytest.raises(ConcurrencyConflict) as conflict:
        await store.append([fact()], boundary=[part(BOOK, START, own(places, 1, 1)), part(READER)])
    assert (conflict.value.sequence_number, conflict.value.part) == (1, 1)
    with pytest.raises(ConcurrencyConflict) as conflict:
        await store.append([fact()], boundary=[part(BOOK, START, own(places, 1, 1)), part(BOOK)])
    assert conflict.value.part == 1


@pytest.mark.parametrize("place", [0, 1, 2, 3])
async def test_each_position_and_each_range_must_lie_in_the_history(store: EventStore, place: int) -> None:
    for _ in range(6):
        await store.append([fact(Book="other")])
    places = await positions(store)
    wrong = [replace(places[number], token=places[number].token ^ 1) for number in range(7)]
    # The greatest of them is right, whichever is wrong.
    lower = part(BOOK, wrong[2] if place == 0 else places[2])
    own_1 = OwnRange(first=2, last=wrong[3] if place == 1 else places[3])
    own_2 = OwnRange(first=5, last=wrong[5] if place == 2 else places[5])
    ranged = part(READER, places[1], own_1, own_2)
    boundary = [part(about(Book="z"), places[6]), lower, ranged]
    if place == 3:
        assert (await store.append([fact()], boundary=boundary)).first == 7
        return
    with pytest.raises(HistoryDiverged):
        await store.append([fact()], boundary=boundary)
    assert len(await log(store)) == 6


async def test_what_lies_beyond_the_head_is_in_no_history(store: EventStore) -> None:
    await store.append([fact()])
    (_, head) = await positions(store)
    beyond = replace(head, number=2)
    last = replace(head, number=LAST_NUMBER)
    ranges = [part(BOOK, head, OwnRange(first=1, last=end)) for end in (beyond, last)]
    for asked in (part(BOOK, beyond), part(BOOK, last), *ranges):
        with pytest.raises(HistoryDiverged):
            await store.append([], boundary=[part(READER), asked])


async def test_another_history_is_told_before_a_conflict(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    (_, head) = await positions(store)
    elsewhere = replace(head, token=head.token ^ 1)
    with pytest.raises(HistoryDiverged):
        await store.append([], boundary=[part(BOOK), part(READER, elsewhere)])


async def test_an_append_without_events_validates_every_part(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    (_, head) = await positions(store)
    receipt = await store.append([], boundary=[part(BOOK, head), part(READER)], key=uuid4())
    assert (receipt.first, receipt.position) == (None, head)
    with pytest.raises(ConcurrencyConflict):
        await store.append([], boundary=[part(READER), part(BOOK)])


async def test_the_same_parts_are_the_same_request_from_whichever_position(store: EventStore) -> None:
    key = uuid4()
    first = await store.append([fact(Book="b")], boundary=[part(BOOK), part(READER)], key=key)
    (_, head) = await positions(store)
    again = await store.append([fact(Book="b")], boundary=[part(READER, head), part(BOOK, head)], key=key)
    assert again == first.as_duplicate()
    for other in ([part(BOOK)], [part(BOOK), part(READER), part(ANY)]):
        with pytest.raises(IdempotencyKeyReused):
            await store.append([fact(Book="b")], boundary=other, key=key)


async def test_one_part_is_the_same_request_as_its_filter(store: EventStore) -> None:
    key = uuid4()
    first = await store.append([fact(Book="b")], boundary=BOOK, key=key)
    assert await store.append([fact(Book="b")], boundary=[part(BOOK)], key=key) == first.as_duplicate()


NO_BOUNDARIES: list[tuple[Any, Position | None, str]] = [
    ([], None, "one part at least"),
    ([part(BOOK)], START, "a position of its own"),
    ([BOOK], None, "as its boundary"),
    ([part(BOOK), None], None, "as its boundary"),
    ("Lent", None, "as its boundary"),
    ([replace(part(BOOK), after=cast("Position", 3))], None, "as its boundary"),
    ([replace(part(BOOK), besides=cast("tuple[OwnRange, ...]", [1]))], None, "as its boundary"),
]


async def test_what_is_no_boundary_is_refused(store: EventStore) -> None:
    for boundary, after, message in NO_BOUNDARIES:
        with pytest.raises(InvalidRequest, match=message):
            await store.append([fact()], boundary=boundary, after=after)
        with pytest.raises(InvalidRequest, match=message):
            await store.append_chain([Append(events=[fact()], boundary=boundary, after=after, key=uuid4())])
        assert await log(store) == [], boundary


async def test_a_chain_relies_part_by_part(store: EventStore) -> None:
    await store.append([fact(Reader="r")])
    (_, head) = await positions(store)
    found = await store.append_chain(
        [
            # Has not seen the reader's event.
            link(fact(Book="b"), parts=[part(READER), part(about(Book="x"))]),
            # Saw the event that is missing now, in its second part.
            link(fact(Book="c"), parts=[part(READER, head), part(BOOK, head)]),
            # Saw an event of the second.
            link(fact(), parts=[part(about(Book="c"), head), part(about(Book="z"), head)]),
            # Saw neither.
            link(fact(Book="d"), parts=[part(about(Book="d"), head), part(READER, head)]),
            # Saw the one before, which is there.
            link(fact(), parts=[part(about(Book="d"), head)]),
        ]
    )
    assert kinds(found) == [ConcurrencyConflict, ChainBroken, ChainBroken, (2, 2), (3, 3)]


async def test_no_bound_on_the_number_leaves_out_what_a_chain_is_about_to_record(store: EventStore) -> None:
    await store.append([fact(Book="x")])
    far = Filter.matching().any_predicate_of(*BOOK.predicates).sequence_number_higher_than(1000)
    late = Filter.matching().any_predicate_of(*BOOK.predicates).occurred_from(MONDAY.replace(year=2100))
    found = await store.append_chain(
        [
            link(fact(Book="b"), parts=[part(about(Book="x"))]),
            link(fact(), parts=[part(far)]),
            link(fact(), parts=[part(late)]),
        ]
    )
    assert kinds(found) == [ConcurrencyConflict, ChainBroken, (2, 2)]


async def test_a_later_round_goes_on_from_the_numbers_of_the_one_before(store: EventStore) -> None:
    await store.append([fact(Book="other")])
    (_, head) = await positions(store)
    first = await store.append_chain([link(fact(Book="b", n=n), parts=[part(BOOK, head)]) for n in range(3)])
    last = first[-1]
    assert isinstance(last, Receipt)
    seen = OwnRange(first=2, last=last.position)
    second = await store.append_chain([link(fact(Book="b", n=n), parts=[part(BOOK, head, seen)]) for n in range(3, 6)])
    assert kinds(second) == [(5, 5), (6, 6), (7, 7)]
    stranger = await store.append([fact(Book="b")])
    third = await store.append_chain([link(fact(), parts=[part(BOOK, head, seen, own(await positions(store), 5, 7))])])
    assert kinds(third) == [ConcurrencyConflict]
    assert isinstance(third[0], ConcurrencyConflict)
    assert third[0].sequence_number == stranger.first


async def test_a_member_without_events_is_at_the_last_event_before_its_place(store: EventStore) -> None:
    await store.append([fact(Reader="r")])
    (_, head) = await positions(store)
    found = await store.append_chain(
        [
            link(parts=[part(BOOK)]),
            link(fact(Book="b"), fact(Book="b"), parts=[part(BOOK)]),
            link(parts=[part(BOOK)]),
            link(fact(Book="b"), parts=[part(READER)]),
            link(parts=[part(about(Book="c"))]),
            link(fact(Book="d"), parts=[part(about(Book="d"))]),
        ]
    )
    assert kinds(found) == [(None, None), (2, 3), (None, None), ConcurrencyConflict, (None, None), (4, 4)]
    places = await positions(store)
    at = [one.position for one in found if isinstance(one, Receipt)]
    assert at == [head, places[3], places[3], places[3], places[4]]
    stored = [await store.receipt(one.key) for one in found if isinstance(one, Receipt) and one.key is not None]
    assert [one.position for one in stored if one is not None] == at
