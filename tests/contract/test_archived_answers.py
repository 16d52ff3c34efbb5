"""Many filters over a log whose first events are archived: each answer is whole, or refused, in both engines alike."""

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from eventstore import Event, EventStore, Filter, FilterItem, HistoryArchived, MemoryEventStore, P, Position, Scalar
from eventstore.postgres import PostgresEventStore
from tests.support.archives import drop_oldest, fill, owner_of
from tests.support.facts import ANY, MONDAY, collected, log, matching, numbers, positions
from tests.support.fixtures.databases import Database

TYPES = ("A", 'C"\\', "é")
FIELDS = ("x", "", 'z"')
# Some are equal, others only look so.
SCALARS: tuple[Scalar, ...] = (1, "1", True, Decimal("1.0"), Decimal("0.50"), Decimal("0.5"), 10**30, "", "é", "true")
VALUES: tuple[Any, ...] = (*SCALARS, None, [1], ["1"], {"x": 1})
EVENTS = 7
# Those that come after them, and are no filter's; what lies before them can be archived.
FILLER = 8_192
_NO_MORE = 500

Ask = Callable[[EventStore, Sequence[Position]], Awaitable[list[int]]]


class Drawn:
    """Events, and filters of which many ask for what an event has, and for nothing that it has not."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  nothing secret
        self._fields: list[tuple[str, Scalar]] = []

    def event(self) -> Event:
        payload = {name: self._random.choice(VALUES) for name in FIELDS if self._random.random() < 0.7}
        self._fields += [(name, value) for name, value in payload.items() if isinstance(value, Scalar)]
        return Event(type=self._random.choice(TYPES), payload=payload, occurred_at=self._moment())

    def filter(self) -> Filter:
        bounds: dict[str, Any] = {}
        match self._random.randrange(4):
            case 0:
                bounds = {name: self._moment() for name in ("since", "until") if self._random.random() < 0.7}
            case 1:
                bounds = {"above": self._random.randrange(EVENTS + 2)}
        items = tuple(self._item() for _ in range(self._random.choice((1, 1, 1, 2, 3))))
        if any(not item.event_types and not item.predicates for item in items):
            bounds = {**bounds, "until": MONDAY + timedelta(hours=self._random.randrange(5)), "above": 0}
        return Filter(items, **bounds)

    def number(self) -> int:
        return self._random.randrange(EVENTS + 1)

    def _moment(self) -> Any:
        return MONDAY + timedelta(hours=self._random.randrange(5))

    def _item(self) -> FilterItem:
        types = self._random.sample(TYPES, self._random.randrange(3))
        predicates = [P(*self._field()) for _ in range(self._random.choice((0, 1, 1, 2, 3)))]
        if not predicates:
            return (Filter.matching().any_event_type_of(*types) if types else ANY).items[0]
        matching = Filter.matching()
        asked = self._random.choice([matching.all_predicates_of, matching.any_predicate_of])(*predicates)
        return (asked.and_any_event_type_of(*types) if types else asked).items[0]

    def _field(self) -> tuple[str, Scalar]:
        if self._random.random() < 0.6:
            return self._random.choice(self._fields)
        return self._random.choice(FIELDS), self._random.choice(SCALARS)


@pytest.mark.parametrize("seed", range(3))
async def test_no_answer_lacks_an_archived_event_and_none_is_refused_that_needs_none(
    partitioned_database: Database, seed: int
) -> None:
    drawn, memory = Drawn(seed), MemoryEventStore()
    async with (
        PostgresEventStore.connect(partitioned_database.url, schema=partitioned_database.schema) as store,
        owner_of(partitioned_database) as admin,
    ):
        for _ in range(EVENTS):
            event = drawn.event()
            await store.append([event])
            await memory.append([event])
        truth = await log(store)
        places = {id(each): await positions(each) for each in (store, memory)}
        await fill(admin)
        for _ in range(2):
            await memory.append([Event(type="Filler", payload={})] * (FILLER // 2))
        for archived in (0, 2, 4):
            if archived:
                await drop_oldest(admin)
                await memory.archive(archived)
            for boundary in [drawn.filter() for _ in range(60)]:
                whole = [event.sequence_number for event in truth if boundary.holds(event)]
                above = drawn.number()
                asked: list[tuple[Ask, list[int]]] = [
                    (partial(_query, boundary), whole),
                    (partial(_read, boundary), whole),
                    (partial(_after, boundary, above), [number for number in whole if number > above]),
                ]
                for ask, expected in asked:
                    found = [await _answer(ask, each, places[id(each)]) for each in (store, memory)]
                    assert found[0] in (None, expected), boundary
                    assert found[0] == found[1], boundary


async def _answer(ask: Ask, store: EventStore, places: Sequence[Position]) -> list[int] | None:
    """The numbers that an engine answers with; None if it refuses."""
    try:
        return await ask(store, places)
    except HistoryArchived:
        return None


async def _query(boundary: Filter, store: EventStore, _: Sequence[Position]) -> list[int]:
    return await matching(store, boundary)


async def _read(boundary: Filter, store: EventStore, _: Sequence[Position]) -> list[int]:
    return numbers(await collected(store.read(boundary, batch_size=_NO_MORE)))


async def _after(boundary: Filter, above: int, store: EventStore, places: Sequence[Position]) -> list[int]:
    (stream,) = await store.query_many([boundary], after=[places[above]])
    return numbers(stream.events)
