"""Reads that are bounded in time: the index on the time is used where it helps, and nobody waits for them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from eventstore import Event, EventStore, Filter
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.statements import statement
from tests.integration.eventstore.plans import plans
from tests.integration.eventstore.staging import Connection
from tests.support.facts import collected
from tests.support.fixtures.databases import Database

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = 20_000
FILL = """
INSERT INTO eventstore.events
SELECT i, 1, CASE WHEN i % 1000 = 0 THEN 'Rare' ELSE 'Frequent' END,
    timestamptz '2026-01-01 00:00:00+00' + i * interval '1 second', jsonb_build_object('n', i), '{}'
FROM generate_series(1, 20000) AS i
"""


def at(second: int) -> datetime:
    return BEGUN + timedelta(seconds=second)


@pytest.fixture
async def filled(database: Database, admin: Connection) -> AsyncIterator[PostgresEventStore]:
    """A store with an event each second."""
    await admin.execute(FILL)
    await admin.execute("VACUUM ANALYZE eventstore.events")
    async with PostgresEventStore.connect(database.url) as store:
        yield store


PERIODS = {
    "the last": (at(EVENTS - 5), None),
    "in the middle": (at(9_000), at(9_010)),
    "the first": (None, at(7)),
    "wide": (at(3), at(EVENTS - 3)),
    "before all": (None, at(-5)),
    "after all": (at(EVENTS + 5), None),
    "the wrong way round": (at(50), at(40)),
}
BEGINNINGS = {
    "any": Filter.matching_any_event(),
    "frequent": Filter.matching().any_event_type_of("Frequent"),
    "rare": Filter.matching().any_event_type_of("Rare"),
    "both": Filter.matching().any_event_type_of("Rare", "Never").or_matching().any_event_type_of("Frequent"),
}


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("beginning", BEGINNINGS)
async def test_every_way_to_read_a_period_finds_the_same(
    filled: PostgresEventStore, period: str, beginning: str
) -> None:
    since, until = PERIODS[period]
    base = BEGINNINGS[beginning]
    boundary = Filter(base.items, since=since, until=until)
    # An event that occurred long before it was recorded.
    await filled.append([Event(type="Frequent", payload={"late": True}, occurred_at=at(9_005))])
    numbers = await by_hand(filled, base, since, until)
    assert [each.sequence_number for each in (await filled.query(boundary)).events] == numbers
    assert [each.sequence_number for each in await collected(filled.read(boundary, batch_size=100))] == numbers
    assert [each.sequence_number for each in (await filled.latest(boundary, limit=3)).events] == numbers[-3:]
    above = boundary.narrowed_above(9_004)
    assert [each.sequence_number for each in (await filled.query(above)).events] == [n for n in numbers if n > 9_004]
    (stream,) = await filled.query_many([boundary], most=5)
    assert (len(stream.events), stream.complete) == ((len(numbers), True) if len(numbers) <= 5 else (0, False))


async def by_hand(store: EventStore, base: Filter, since: datetime | None, until: datetime | None) -> list[int]:
    return [
        event.sequence_number
        async for event in store.read(base)
        if (since is None or event.occurred_at >= since) and (until is None or event.occurred_at <= until)
    ]


async def test_a_narrow_period_is_read_by_the_index_on_the_time(filled: PostgresEventStore) -> None:
    boundary = Filter.matching().any_event_type_of("Frequent").occurred_from(at(EVENTS - 5))
    reads = filled._reader._routing._servers[filled._pools.primary]
    assert await reads._by_time(boundary, frozenset(), None) is not None
    assert await reads._by_time(Filter.matching_any_event().occurred_from(at(3)), frozenset(), None) is None
    rare = Filter.matching().any_event_type_of("Rare").occurred_from(at(EVENTS - 5))
    assert await reads._by_time(rare, frozenset(), None) is None
    # Nothing of the kind waits in line with first reads.
    asked: list[object] = []
    for coalescer in (reads.histories, reads.mixed, reads.tails):
        coalescer.ask = asked.append  # type: ignore[method-assign,assignment]
    assert len((await filled.query(boundary)).events) == 5
    assert len((await filled.query(rare)).events) == 1
    assert len((await filled.query(Filter.matching_any_event().occurred_until(at(EVENTS - 9)))).events) == EVENTS - 9
    assert asked == []


@pytest.mark.parametrize("types", [None, ["Frequent"]])
async def test_the_plan_stays_by_the_index_on_the_time(filled: PostgresEventStore, types: list[str] | None) -> None:
    connection = await filled._pools.primary.acquire()
    try:
        period: tuple[object, ...] = (types, 0, at(EVENTS - 5).isoformat(), None, None, [])
        for plan in await plans(cast("Connection", connection), statement("period"), period):
            assert "events_occurred_at" in plan.indexes()
            assert not plan.is_sequential
            # A range of the index covers many events; all of them are far more.
            assert plan.touched("events") < EVENTS
        for plan in await plans(
            cast("Connection", connection), statement("span"), (at(EVENTS - 5).isoformat(), None, [])
        ):
            assert "events_occurred_at" in plan.indexes()
            assert plan.touched("events") < EVENTS
    finally:
        await filled._pools.primary.release(connection)
