"""A log whose first events are archived: whoever may need one is told so, and everybody else is answered as ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from uuid import uuid4

import pytest

from eventstore import (
    START,
    Append,
    BoundaryPart,
    ChainBroken,
    ConcurrencyConflict,
    EventStore,
    Filter,
    HistoryArchived,
    HistoryDiverged,
    MemoryEventStore,
    P,
    Position,
    Receipt,
)
from tests.support.archives import drop_oldest, fill, owner_of
from tests.support.facts import ANY, MONDAY, about, collected, fact, numbers
from tests.support.fixtures.databases import Database
from tests.support.stores import DRIVERS, opened

LENT = Filter.matching().any_event_type_of("Lent")
ARCHIVED = (
    fact("Lent", hour=1, book="b1", reader="r1", edition=1, first=True),
    fact("Lent", hour=2, book="b2", reader="r2", edition=Decimal("2.50")),
    fact("Returned", hour=3, book="b1", reader="r1", shelf="4"),
    fact("Lent", hour=4, book="b3", reader="r3", shelf=[1, "deep"]),
)
KEPT = (fact("Lent", hour=5, book="b5", reader="r1"), fact("Moved", hour=6, book="b6", shelf="9"))


@dataclass(frozen=True, slots=True)
class Archived:
    """A store whose events 1 to 4 are archived, as the ranges 1 to 2 and 3 to 4; events 5 and 6 follow, and more.

    Attributes:
        store: The store.
        positions: The positions at each of the first six events, and the start.
    """

    store: EventStore
    positions: tuple[Position, ...]


@pytest.fixture(params=["memory", *DRIVERS])
def way(request: pytest.FixtureRequest) -> str:
    """How the store is had."""
    return str(request.param)


@pytest.fixture
def place(request: pytest.FixtureRequest, way: str) -> Database | None:
    """Where its log is, in partitions of 2 events, of 2, and of many; None in memory."""
    if way == "memory":
        return None
    database = request.getfixturevalue("partitioned_database")
    assert isinstance(database, Database)
    return database


@pytest.fixture
async def archived(way: str, place: Database | None) -> AsyncIterator[Archived]:
    if place is None:
        memory = MemoryEventStore()
        positions = await _recorded(memory)
        await memory.archive(2)
        await memory.archive(4)
        yield Archived(memory, positions)
        return
    async with opened(way, place.url, schema=place.schema, follow_seconds=0.01) as store:
        positions = await _recorded(store)
        async with owner_of(place) as admin:
            await fill(admin)
            # What was planned before is planned anew.
            assert len((await store.query(about(book="b1"))).events) == 2
            await drop_oldest(admin)
            await drop_oldest(admin)
        yield Archived(store, positions)


async def _recorded(store: EventStore) -> tuple[Position, ...]:
    return (START, *[(await store.append([each])).position for each in (*ARCHIVED, *KEPT)])


async def test_a_read_that_can_do_without_archived_events_is_answered(archived: Archived) -> None:
    store = archived.store
    for boundary, expected in (
        (about(book="b5"), [5]),
        (about(book="b9"), []),
        (about(shelf=4), []),  # the archived one is a text
        (about(edition="1"), []),
        (about(first=False), []),
        (about(shelf="deep"), []),
        (Filter.matching().any_event_type_of("Moved", "Never"), [6]),
        (Filter.matching().any_event_type_of("Never").and_any_predicate_of(P("book", "b1")), []),
        (Filter.matching().all_predicates_of(P("book", "b1"), P("reader", "r9")), []),
        (Filter.matching().any_event_type_of("Lent").occurred_from(MONDAY.replace(hour=5)), [5]),
        (LENT.sequence_number_higher_than(4), [5]),
    ):
        assert numbers((await store.query(boundary)).events) == expected
        assert numbers(await collected(store.read(boundary))) == expected
        assert numbers((await store.latest(boundary, limit=9)).events) == expected
    # From the last event of a range on, it can be told whether the history is the same.
    streams = await store.query_many(
        [ANY, about(book="b6")], after=[archived.positions[4], archived.positions[5]], most=1
    )
    assert [numbers(stream.events) for stream in streams] == [[], [6]]
    stranger = Position(number=4, token=archived.positions[4].token + 1)
    with pytest.raises(HistoryDiverged):
        await store.query_many([ANY], after=[stranger], most=1)


async def test_a_read_that_may_need_archived_events_is_refused_and_never_answered_without_them(
    archived: Archived,
) -> None:
    store = archived.store
    for boundary, first in (
        (ANY, 1),
        (LENT, 1),
        (about(book="b1"), 1),
        (about(book="b3"), 3),
        (about(shelf="4"), 3),
        (about(edition=Decimal("1.0")), 1),
        (about(edition=Decimal("2.5")), 1),
        (about(first=True), 1),
        (Filter.matching().any_predicate_of(P("book", "b9"), P("book", "b3")), 3),
        (Filter.matching().any_event_type_of("Never").or_matching().any_event_type_of("Returned"), 3),
        (Filter.matching().any_event_type_of("Lent").occurred_until(MONDAY.replace(hour=4)), 1),
        (Filter.matching().any_event_type_of("Lent").occurred_until(MONDAY.replace(hour=1)), 1),
        (LENT.sequence_number_higher_than(2), 3),
        (ANY.occurred_from(MONDAY.replace(hour=4)), 3),
    ):
        asked: list[Callable[[Filter], Awaitable[object]]] = [
            store.query,
            lambda each: collected(store.read(each)),
            lambda each: anext(store.subscribe(each)),
            lambda each: anext(store.follow(each)),
        ]
        for ask in asked:
            with pytest.raises(HistoryArchived) as refused:
                await ask(boundary)
            assert (refused.value.first, refused.value.position) == (first, None), boundary
        with pytest.raises(HistoryArchived):
            await store.latest(boundary, limit=10_000)
    # The last ones are there.
    assert numbers((await store.latest(LENT, limit=1)).events) == [5]
    assert numbers((await store.latest(LENT.sequence_number_higher_than(4), limit=9)).events) == [5]


async def test_of_many_questions_those_are_named_that_cannot_be_answered(archived: Archived) -> None:
    filters = [about(book="b9"), about(book="b3"), about(book="b5"), about(book="b6"), about(book="b7")]
    after = [START, START, START, archived.positions[3], archived.positions[6]]
    with pytest.raises(HistoryArchived) as refused:
        await archived.store.query_many(filters, after=after)
    assert refused.value.places == (1, 3)
    with pytest.raises(HistoryArchived) as refused:
        await archived.store.query_many(filters)
    assert (refused.value.places, refused.value.first, refused.value.last) == ((1,), 3, 4)
    others = [filters[place] for place in (0, 2, 3, 4)]
    assert [numbers(each.events) for each in await archived.store.query_many(others)] == [[], [5], [6], []]
    # At the same time, in one statement of a server's: nobody is anybody else's problem.
    found = await asyncio.gather(*map(archived.store.query, filters), return_exceptions=True)
    assert [isinstance(each, HistoryArchived) for each in found] == [False, True, False, False, False]


async def test_a_position_that_is_archived_can_only_be_begun_anew_from(archived: Archived) -> None:
    store, positions = archived.store, archived.positions
    nothing = about(book="b9")
    for asked in (
        store.query(nothing, min_position=positions[3]),
        store.query_many([nothing], after=[positions[1]]),
        collected(store.read(nothing, after=positions[3])),
        anext(store.follow(nothing, after=positions[1])),
        store.append([], boundary=nothing, after=positions[1]),
        store.append([], boundary=[BoundaryPart(filter=nothing, after=positions[3])]),
    ):
        with pytest.raises(HistoryArchived) as refused:
            await asked
        assert refused.value.position in (1, 3)
    # One that follows from the beginning comes by the ranges that it needs nothing of.
    following = store.subscribe(about(book="b6"), batch_size=1)
    assert (await anext(following)).sequence_number == 6


async def test_an_append_is_judged_by_all_events_or_refused(archived: Archived) -> None:
    store, positions = archived.store, archived.positions
    new, old = about(book="b9"), about(book="b1")
    assert (await store.append([fact(book="b9")], boundary=new)).first is not None
    with pytest.raises(ConcurrencyConflict):
        await store.append([fact(book="b9")], boundary=new)
    for after in (None, positions[2], positions[3]):
        with pytest.raises(HistoryArchived):
            await store.append([fact(book="b1")], boundary=old, after=after)
    assert (await store.append([fact(book="b1")], boundary=old, after=positions[4])).first is not None
    with pytest.raises(HistoryDiverged):
        await store.append([], boundary=old, after=Position(number=4, token=3))
    with pytest.raises(HistoryArchived):
        await store.append(
            [],
            boundary=[BoundaryPart(filter=new, after=positions[6]), BoundaryPart(filter=about(book="b2"), after=START)],
        )


async def test_a_member_of_a_chain_that_lies_behind_archived_events_fails_alone(archived: Archived) -> None:
    store, positions = archived.store, archived.positions
    head = (await store.query(about(book="b9"))).position

    def member(book: str, after: Position) -> Append:
        return Append(events=[fact(book=book)], boundary=about(book=book), after=after, key=uuid4())

    chain = [member("b7", head), member("b1", positions[2]), member("b2", START), member("b8", head)]
    found = await store.append_chain(chain)
    assert [type(each) for each in (found[0], found[3])] == [Receipt, Receipt]
    assert all(isinstance(each, ChainBroken | HistoryArchived) for each in found[1:3])
    alone = await asyncio.gather(
        *[store.append(each.events, boundary=each.parts, key=each.key) for each in chain], return_exceptions=True
    )
    assert [type(each) for each in alone] == [Receipt, HistoryArchived, HistoryArchived, Receipt]
