"""Walks along the log's end: how far they go is learnt, and what they find is the same wherever they end."""

import asyncio

from eventstore import Event, Filter, P
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.reads.tail_limit import LONGEST_TAIL
from tests.integration.eventstore.questions import counted, numbers
from tests.support.fixtures.databases import Database

BOUNDARY = Filter.matching().any_event_type_of("Counted").and_any_predicate_of(P("Key", "a"))
NOISE = [Event(type="Noticed", payload={"Key": "a"})] * 100


async def test_where_few_events_matter_walks_go_further(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        reads = store._reader._routing._servers[store._pools.primary]
        seen = (await store.append([counted("a")])).position
        assert reads._limit.of(BOUNDARY) == 256
        for _ in range(8):
            await store.append(NOISE)
            stream = await store.query(BOUNDARY.narrowed_above(seen.number), min_position=seen)
            assert stream.events == ()
        assert reads._limit.of(BOUNDARY) > 2000
        # So far behind the head, the indexes would have been asked before that was learnt.
        await reads.histories.close()
        await store.append([counted("a"), *NOISE, counted("b"), counted("a")])
        stream = await store.query(BOUNDARY.narrowed_above(seen.number), min_position=seen)
        assert numbers(stream) == [802, 904]
        assert reads.histories._sticky._kept is None


async def test_a_walk_that_turns_out_too_long_is_left_to_the_indexes(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as ours, PostgresEventStore.connect(database.url) as other:
        seen = (await ours.append([counted("a")])).position
        await ours.query(BOUNDARY.narrowed_above(seen.number), min_position=seen)
        # Our store has not seen the head go on: it begins a walk that the statement does not carry out.
        for _ in range(1 + LONGEST_TAIL // 100):
            await other.append(NOISE)
        last = await other.append([counted("a")])
        stream = await ours.query(BOUNDARY.narrowed_above(seen.number), min_position=seen)
        assert (numbers(stream), stream.position) == ([last.first], last.position)


async def test_a_walk_too_long_for_one_query_hides_nothing_from_those_that_share_its_statement(
    database: Database,
) -> None:
    async with PostgresEventStore.connect(database.url) as ours, PostgresEventStore.connect(database.url) as other:
        far = (await ours.append([counted("a")])).position
        await ours.query(BOUNDARY.narrowed_above(far.number), min_position=far)
        for _ in range(1 + LONGEST_TAIL // 100):
            await other.append(NOISE)
        near = (await other.append(NOISE)).position
        last = await other.append([counted("a")])
        # Asked in one turn of the loop, they share a statement; both look near while the head is not known.
        streams = await asyncio.gather(
            ours.query(BOUNDARY.narrowed_above(far.number), min_position=far),
            ours.query(BOUNDARY.narrowed_above(near.number), min_position=near),
        )
        assert [numbers(stream) for stream in streams] == [[last.first], [last.first]]
        assert [stream.position for stream in streams] == [last.position] * 2
