"""Racers on one boundary and on many: they meet in the database, each with a connection of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import cycle, islice

import pytest

from eventstore import ConcurrencyConflict, Event, Position, Receipt
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.questions import ANY, counted, keys, numbers, of

RACERS = 16
ROUNDS = 100

Stores = Callable[[int], Awaitable[list[PostgresEventStore]]]


async def race(
    stores: list[PostgresEventStore], key: str, position: Position
) -> tuple[list[Receipt], list[ConcurrencyConflict]]:
    """Append to one boundary from one position through every store at once; return who won and who lost."""
    results = await asyncio.gather(
        *(store.append([counted(key)], boundary=of(key), after=position) for store in stores), return_exceptions=True
    )
    won = [result for result in results if isinstance(result, Receipt)]
    lost = [result for result in results if isinstance(result, ConcurrencyConflict)]
    assert len(won) + len(lost) == len(stores)
    return won, lost


async def test_of_sixteen_racers_exactly_one_wins_each_round(stores: Stores) -> None:
    racers = await stores(RACERS)
    position = (await racers[0].query(ANY)).position
    for turn in range(ROUNDS):
        (winner,), lost = await race(racers, "prize", position)
        assert winner.first == turn + 1
        assert {conflict.sequence_number for conflict in lost} == {winner.first}
        position = winner.position
    assert numbers(await racers[0].query(ANY)) == list(range(1, ROUNDS + 1))


async def test_of_racers_that_start_one_after_another_exactly_one_wins(stores: Stores) -> None:
    racers = await stores(RACERS)

    async def run(store: PostgresEventStore, key: str, delay: int) -> int:
        # Each reads for itself, after as many round trips as it comes late: some read before the winner's commit,
        # some after it, some in between.
        for _ in range(delay):
            await store.query(of("nothing"))
        read = await store.query(of(key))
        if read.events:
            return 0
        try:
            await store.append([counted(key)], boundary=of(key), after=read.position)
        except ConcurrencyConflict:
            return 0
        return 1

    for turn in range(ROUNDS):
        won = await asyncio.gather(*(run(store, f"prize {turn}", place % 5) for place, store in enumerate(racers)))
        assert sum(won) == 1
    assert sorted(keys(await racers[0].query(ANY))) == sorted(f"prize {turn}" for turn in range(ROUNDS))


@pytest.mark.parametrize("connections", [1, 3])
async def test_of_racers_that_share_stores_exactly_one_wins(stores: Stores, connections: int) -> None:
    racers = list(islice(cycle(await stores(connections)), RACERS))
    position = (await racers[0].query(ANY)).position
    for _ in range(ROUNDS // 4):
        (winner,), _lost = await race(racers, "prize", position)
        position = winner.position
    assert len((await racers[0].query(of("prize"))).events) == ROUNDS // 4


async def test_disjoint_boundaries_never_conflict(stores: Stores) -> None:
    racers = await stores(RACERS)
    start = (await racers[0].query(ANY)).position

    async def run(store: PostgresEventStore, key: str) -> list[int]:
        own, position = [], start
        for _ in range(20):
            receipt = await store.append([counted(key)], boundary=of(key), after=position)
            position = receipt.position
            own.append(receipt.position.number)
        return own

    given = await asyncio.gather(*(run(store, f"own {place}") for place, store in enumerate(racers)))
    assert sorted(number for own in given for number in own) == list(range(1, RACERS * 20 + 1))


async def test_boundaries_that_overlap_in_chains_lose_no_count(stores: Stores) -> None:
    racers = await stores(8)

    async def increment(store: PostgresEventStore, pair: tuple[str, str]) -> int:
        attempts = 0
        while True:
            attempts += 1
            read = await store.query(of(*pair))
            total = sum(1 for event in read.events if event.payload["Key"] == pair[0])
            event = Event(type="Paired", payload={"Key": pair[0], "Total": total})
            try:
                await store.append([event], boundary=of(*pair), after=read.position)
            except ConcurrencyConflict:
                continue
            return attempts

    async def run(place: int, store: PostgresEventStore) -> None:
        for _ in range(5):
            await increment(store, (f"k{place % 4}", f"k{(place + 1) % 4}"))

    await asyncio.gather(*(run(place, store) for place, store in enumerate(racers)))
    for key in ("k0", "k1", "k2", "k3"):
        # Whoever counted this key saw every count before its own: the totals are the order of the log.
        counted_so_far = [event.payload["Total"] for event in (await racers[0].query(of(key))).events]
        assert counted_so_far == list(range(10))


async def test_a_reader_beside_the_writers_always_sees_a_prefix_of_the_log(stores: Stores) -> None:
    *writers, reader = await stores(5)
    start = (await reader.query(ANY)).position

    async def write(store: PostgresEventStore, key: str) -> None:
        for _ in range(40):
            await store.append([counted(key), counted(key)], boundary=of(f"not {key}"), after=start)

    writing = asyncio.gather(*(write(store, f"k{place}") for place, store in enumerate(writers)))
    heads = set()
    while not writing.done():
        stream = await reader.query(ANY)
        assert numbers(stream) == list(range(1, stream.position.number + 1))
        heads.add(stream.position.number)
    await writing
    assert len(heads) > 2
    assert (await reader.query(ANY)).position.number == 320
