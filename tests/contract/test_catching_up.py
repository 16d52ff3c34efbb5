"""A position far behind the head is looked into outside the lock; what happens meanwhile is staged there."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from eventstore import ConcurrencyConflict, EventStream, Filter
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.reading import Reader
from tests.contract.facts import ANY, about, fact, matching
from tests.fixtures.databases import Database

KEY = UUID(int=1)
Stage = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def before_the_search(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Has something done once, when the next query of any store is about to be sent; any position is far behind."""
    monkeypatch.setattr("eventstore.postgres.batch._TAIL_LIMIT", 0)
    search = pytest.MonkeyPatch()

    def stage(act: Callable[[], Awaitable[object]]) -> None:
        async def acted(reader: Reader, boundary: Filter, **options: Any) -> EventStream:
            search.undo()
            await act()
            return await reader.query(boundary, **options)

        search.setattr(Reader, "query", acted)

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
