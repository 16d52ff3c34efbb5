"""The lock first, then reading, deciding and appending under it."""

import asyncio
from uuid import UUID, uuid4

import pytest

from eventstore import (
    LONGEST_HELD_READ,
    START,
    Append,
    BoundaryPart,
    ChainBroken,
    Event,
    EventStore,
    Filter,
    HistoryDiverged,
    HoldExpired,
    IdempotencyKeyReused,
    InvalidRequest,
    LockNotAcquired,
    Position,
    Receipt,
    TooFarBehind,
)
from tests.support.facts import ANY, about, fact, log, matching, numbers

# What a test may take under the lock on a busy machine.
LONG = 5.0
SHORT = 0.05


def link(*events: Event, boundary: Filter | None = None, after: Position = START, key: UUID | None = None) -> Append:
    return Append(
        events=events,
        boundary=boundary,
        after=after if boundary is not None else None,
        key=key if key is not None else uuid4(),
        scope="library",
    )


async def test_what_was_read_under_the_lock_is_what_is_appended_to(store: EventStore) -> None:
    await store.append([fact(Book="b"), fact(Book="c")])
    async with store.exclusive(limit=LONG) as held:
        racing = asyncio.create_task(store.append([fact(Book="b", by="another")]))
        (read, other) = await held.query_many([about(Book="b"), about(Book="c")])
        assert (numbers(read.events), numbers(other.events)) == ([1], [2])
        assert read.position == other.position == held.position
        found = await held.append_chain(
            [
                link(fact(Book="b", n=1), boundary=about(Book="b"), after=read.position),
                link(fact(Book="b", n=2), boundary=about(Book="b"), after=read.position),
                link(boundary=about(Book="b"), after=read.position),
            ]
        )
    receipts = [one for one in found if isinstance(one, Receipt)]
    assert [(one.first, one.position.number) for one in receipts] == [(3, 3), (4, 4), (None, 4)]
    assert (await racing).first == 5


async def test_only_what_is_new_is_read(store: EventStore) -> None:
    seen = (await store.append([fact(Book="b"), fact("Returned", Book="b")])).position
    await store.append([fact(Book="c"), fact(Book="b"), fact("Returned", Book="c")])
    async with store.exclusive(limit=LONG) as held:
        found = await held.query_many(
            [about(Book="b"), Filter.matching().any_event_type_of("Returned"), ANY, about(Book="x")],
            after=[seen, START, seen, held.position],
        )
        assert [numbers(stream.events) for stream in found] == [[4], [2, 5], [3, 4, 5], []]
        bounded = [about(Book="b").narrowed_above(1), ANY.narrowed_above(4)]
        assert [numbers(stream.events) for stream in await held.query_many(bounded)] == [[2, 4], [5]]
        (few,) = await held.query_many([about(Book="b")], most=2)
        assert (few.complete, few.events) == (False, ())
        (enough,) = await held.query_many([about(Book="b")], most=3, known=[0])
        assert (enough.complete, numbers(enough.events)) == (True, [1, 2, 4])
        assert await held.query_many([]) == []


async def test_leaving_without_an_append_records_nothing(store: EventStore) -> None:
    async with store.exclusive(limit=LONG) as held:
        await held.query_many([ANY])
    with pytest.raises(ZeroDivisionError):
        async with store.exclusive(limit=LONG):
            raise ZeroDivisionError
    assert (await store.append([fact()])).first == 1


async def test_a_chain_under_the_lock_is_judged_as_any(store: EventStore) -> None:
    key = uuid4()
    first = await store.append([fact(Book="b")], key=key, scope="library")
    async with store.exclusive(limit=LONG) as held:
        found = await held.append_chain(
            [
                link(fact(Book="b"), key=key),
                link(fact(Book="b"), boundary=about(Book="b"), after=held.position),
                link(fact(Book="x"), key=key),
                Append(
                    events=[fact(Book="c")],
                    boundary=[BoundaryPart(filter=about(Book="c"))],
                    key=uuid4(),
                    scope="library",
                ),
            ]
        )
    assert found[0] == first.as_duplicate()
    assert isinstance(found[1], ChainBroken)
    assert isinstance(found[2], IdempotencyKeyReused)
    assert isinstance(found[3], Receipt)
    assert await matching(store, ANY) == [1, 2]
    assert await store.receipt(found[3].key or key, scope="library") == found[3]


async def test_it_ends_with_the_append(store: EventStore) -> None:
    async with store.exclusive(limit=LONG) as held:
        await held.append_chain([link(fact(Book="b"))])
        # Nobody waits for whoever has not left the context yet.
        assert (await store.append([fact(Book="c")])).first == 2
        with pytest.raises(InvalidRequest, match="take it again"):
            await held.query_many([ANY])
        with pytest.raises(InvalidRequest, match="take it again"):
            await held.append_chain([link(fact(Book="d"))])
    assert await matching(store, ANY) == [1, 2]


async def test_one_has_the_lock_and_another_waits_for_so_long(store: EventStore) -> None:
    async with store.exclusive(limit=LONG):
        with pytest.raises(LockNotAcquired):
            async with store.exclusive(patience=SHORT):
                raise AssertionError
    async with store.exclusive(limit=LONG) as held:
        waiting = asyncio.create_task(count_up(store))
        assert await held.query_many([ANY])
    assert await waiting == 0


async def count_up(store: EventStore) -> int:
    """Append how many events there are."""
    async with store.exclusive(limit=LONG, patience=LONG) as held:
        (stream,) = await held.query_many([ANY])
        total = len(stream.events)
        await held.append_chain([link(fact(n=total), boundary=ANY, after=stream.position)])
        return total


async def test_whoever_waits_has_a_turn(store: EventStore) -> None:
    assert sorted(await asyncio.gather(*(count_up(store) for _ in range(8)))) == list(range(8))
    assert [event.payload["n"] for event in await log(store)] == list(range(8))


async def test_a_hold_that_lasts_too_long_ends_by_itself_and_leaves_nothing(store: EventStore) -> None:
    key = uuid4()
    async with store.exclusive(limit=SHORT) as held:
        # Waits for the lock, and has it when the hold has ended.
        assert (await store.append([fact(Book="b")])).first == 1
        with pytest.raises(HoldExpired):
            await held.append_chain([link(fact(Book="c"), key=key)])
    assert await store.receipt(key, scope="library") is None
    async with store.exclusive(limit=SHORT) as held:
        await store.append([fact(Book="b")])
        with pytest.raises(HoldExpired):
            await held.query_many([ANY])
    assert await matching(store, ANY) == [1, 2]
    async with store.exclusive(limit=LONG) as held:
        await held.append_chain([link(fact(Book="c"), key=key)])
    assert await matching(store, ANY) == [1, 2, 3]


async def test_a_read_that_would_take_long_is_refused(store: EventStore) -> None:
    start = (await store.append([fact(Book="b")])).position
    head = (await store.append([fact(Book="c")] * LONGEST_HELD_READ)).position
    async with store.exclusive(limit=LONG) as held:
        for filters, after in (([about(Book="b")], None), ([about(Book="x"), ANY], [head, START])):
            with pytest.raises(TooFarBehind, match="4096 events below the head"):
                await held.query_many(filters, after=after)
        (stream, other) = await held.query_many([about(Book="b"), about(Book="b")], after=[start, head])
        assert (stream.events, other.events, stream.position) == ((), (), head)


async def test_a_position_of_another_history_is_told(store: EventStore) -> None:
    here = (await store.append([fact(Book="b")])).position
    for position in (Position(number=1, token=here.token ^ 1), Position(number=2, token=here.token)):
        async with store.exclusive(limit=LONG) as held:
            with pytest.raises(HistoryDiverged):
                await held.query_many([ANY], after=[position])


async def test_a_time_out_of_range_is_refused(store: EventStore) -> None:
    seconds: dict[str, float]
    for seconds in ({"limit": 0.0}, {"limit": 11.0}, {"patience": 0.0}, {"patience": 61.0}, {"limit": -1.0}):
        with pytest.raises(InvalidRequest, match="more than 0"):
            async with store.exclusive(**seconds):
                raise AssertionError(seconds)


async def test_a_caller_that_leaves_while_it_decides_records_nothing(store: EventStore) -> None:
    holds = asyncio.Event()

    async def decide() -> None:
        async with store.exclusive(limit=LONG):
            holds.set()
            await asyncio.Event().wait()

    deciding = asyncio.create_task(decide())
    await holds.wait()
    deciding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deciding
    assert (await store.append([fact()])).first == 1
