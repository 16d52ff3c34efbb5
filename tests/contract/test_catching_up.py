"""A position far behind the head is looked into outside the lock; what happens meanwhile is staged there."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from eventstore import BoundaryPart, ConcurrencyConflict, Event, EventStore, EventStream, Filter
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.reads.lookup import Answer
from eventstore.postgres.reads.reader import Reader
from eventstore.postgres.reads.routing import Routing
from tests.support.facts import ANY, about, fact, matching
from tests.support.fixtures.databases import Database

KEY = UUID(int=1)
Stage = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def before_the_search(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Has something done once, when the next query of any store is about to be sent; any position is far behind."""
    monkeypatch.setattr("eventstore.postgres.appends.batch._TAIL_LIMIT", 0)
    search = pytest.MonkeyPatch()

    def stage(act: Callable[[], Awaitable[object]]) -> None:
        async def acted(reader: Reader, boundary: Filter, **options: Any) -> EventStream | None:
            search.undo()
            await act()
            return await reader.short(boundary, **options)

        search.setattr(Reader, "short", acted)

    yield stage
    search.undo()


async def test_an_append_overtaken_by_its_own_key_gets_the_first_receipt(
    database: Database, before_the_search: Stage
) -> None:
    async with PostgresEventStore.connect(database.url) as store, PostgresEventStore.connect(database.url) as other:
        read = (await store.append([fact(Book="c")])).position
        head = (await store.append([fact(Book="c")])).position

        async def overtake() -> None:
            await other.append([fact(Book="b")], boundary=about(Book="b"), after=head, key=KEY)

        before_the_search(overtake)
        receipt = await store.append([fact(Book="b")], boundary=about(Book="b"), after=read, key=KEY)
        first = await store.receipt(KEY)
        assert first is not None
        assert receipt == first.as_duplicate()
        assert await matching(store, ANY) == [1, 2, 3]


async def test_an_append_overtaken_by_its_key_in_another_scope_is_a_conflict(
    database: Database, before_the_search: Stage
) -> None:
    async with PostgresEventStore.connect(database.url) as store, PostgresEventStore.connect(database.url) as other:
        read = (await store.append([fact(Book="c")])).position
        head = (await store.append([fact(Book="c")])).position

        async def overtake() -> None:
            await other.append([fact(Book="b")], boundary=about(Book="b"), after=head, key=KEY, scope="other")

        before_the_search(overtake)
        with pytest.raises(ConcurrencyConflict):
            await store.append([fact(Book="b")], boundary=about(Book="b"), after=read, key=KEY, scope="one")


async def test_an_append_overtaken_by_another_is_a_conflict(database: Database, before_the_search: Stage) -> None:
    async with PostgresEventStore.connect(database.url) as store, PostgresEventStore.connect(database.url) as other:
        read = (await store.append([fact(Book="c")])).position
        await store.append([fact(Book="c")])

        async def overtake() -> None:
            await other.append([fact(Book="b"), fact(Book="b")])

        before_the_search(overtake)
        with pytest.raises(ConcurrencyConflict) as raised:
            await store.append([fact(Book="b")], boundary=about(Book="b"), after=read, key=KEY)
        assert raised.value.sequence_number == 3
        assert await store.receipt(KEY) is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_the_first_conflict_is_named_also_where_it_is_of_a_part_that_is_not_far_behind(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, order: tuple[int, int]
) -> None:
    # The first part is further behind than that, the second is not.
    monkeypatch.setattr("eventstore.postgres.appends.batch._TAIL_LIMIT", 2)
    read = (await store.append([fact(Book="c")])).position
    later = (await store.append([fact(Book="c")])).position
    await store.append([fact(Book="near"), fact(Book="far")])
    parts = (
        BoundaryPart(filter=about(Book="far"), after=read),
        BoundaryPart(filter=about(Book="near"), after=later),
    )
    with pytest.raises(ConcurrencyConflict) as raised:
        await store.append([fact(Book="b")], boundary=[parts[place] for place in order])
    assert (raised.value.sequence_number, raised.value.part) == (3, order.index(1))


async def test_a_long_history_is_searched_for_the_first_conflict_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.postgres.appends.batch._TAIL_LIMIT", 0)
    longest = 0

    async def asked(routing: Routing, *arguments: Any) -> tuple[Answer, Pool]:
        nonlocal longest
        answer, replica = await ask(routing, *arguments)
        longest = max(longest, *(len(events or ()) for events in answer.found))
        return answer, replica

    ask = Routing.asked
    monkeypatch.setattr(Routing, "asked", asked)
    async with PostgresEventStore.connect(database.url) as store:
        read = (await store.append([fact(Book="c")])).position
        for _ in range(2):
            await store.append([fact(Book="c")] * 1000)
        for _ in range(5):
            await store.append([Event(type="Guarded", payload={})] * 1000)
        guarded = Filter.matching().any_event_type_of("Guarded")
        for boundary, after, first in ((guarded, None, 2002), (ANY, read, 2), (guarded, read, 2002)):
            with pytest.raises(ConcurrencyConflict) as raised:
                await store.append([fact(Book="b")], boundary=boundary, after=after)
            assert raised.value.sequence_number == first
    assert 0 < longest <= 4000
