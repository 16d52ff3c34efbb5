"""Stored states: a cache that only moves forward, and never keeps what lies in no history."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from eventstore import START, Consistency, EventStore, Position, StateKey, StoredState
from tests.support.facts import fact, positions

KEY = StateKey(domain="shop", view="shelf", version=1, key='["tea"]', filter_digest=b"\x00\x01\xff")
# Differ from it in one respect each.
OTHERS = (
    replace(KEY, domain="Shop"),
    replace(KEY, view="shelves"),
    replace(KEY, version=2),
    replace(KEY, key='["tea ☕"]'),
    replace(KEY, key="[]"),
    replace(KEY, filter_digest=b""),
    replace(KEY, key='["' + "x" * 10_000 + '"]'),
)


def state(position: Position, *, key: StateKey = KEY, text: str = '{"left":3}', events: int = 1) -> StoredState:
    return StoredState(key=key, position=position, state=text.encode(), events=events)


async def stored(store: EventStore, key: StateKey = KEY) -> StoredState | None:
    (found,) = await store.stored_states([key], consistency=Consistency.STRONG)
    return found


@pytest.fixture
async def places(store: EventStore) -> list[Position]:
    """The start, and the positions of three events."""
    for _ in range(3):
        await store.append([fact()])
    return await positions(store)


@pytest.mark.parametrize("consistency", Consistency)
async def test_what_was_stored_comes_back_with_the_time(
    store: EventStore, places: list[Position], consistency: Consistency
) -> None:
    assert await store.stored_states([KEY], consistency=consistency) == [None]
    written = state(places[2], text='{"left":1.0,"left":"\\u0000ü"}', events=30_000)
    before = datetime.now(UTC) - timedelta(seconds=5)
    await store.store_state(written)
    (found,) = await store.stored_states([KEY], consistency=consistency)
    assert found is not None
    assert found.written_at is not None
    assert before < found.written_at < datetime.now(UTC) + timedelta(seconds=5)
    assert found == replace(written, written_at=found.written_at)


async def test_each_part_of_the_key_counts(store: EventStore, places: list[Position]) -> None:
    for number, key in enumerate((KEY, *OTHERS)):
        assert await stored(store, key) is None
        await store.store_state(state(places[1], key=key, events=number))
    found = await store.stored_states([*OTHERS, KEY])
    assert [each and (each.key, each.events) for each in found] == [*zip(OTHERS, range(1, 8), strict=True), (KEY, 0)]


async def test_several_are_looked_up_in_their_order(store: EventStore, places: list[Position]) -> None:
    await store.store_state(state(places[1], key=OTHERS[0]))
    await store.store_state(state(places[2], key=OTHERS[2]))
    found = await store.stored_states([OTHERS[2], KEY, OTHERS[0], OTHERS[2]])
    assert [each and each.position for each in found] == [places[2], None, places[1], places[2]]
    assert await store.stored_states([]) == []


async def test_a_state_only_moves_forward(store: EventStore, places: list[Position]) -> None:
    for place, kept in ((2, 2), (1, 2), (0, 2), (3, 3), (2, 3), (3, 3)):
        await store.store_state(state(places[place], events=place))
        found = await stored(store)
        assert found is not None
        assert (found.position, found.events) == (places[kept], kept)


async def test_of_two_at_one_position_the_later_is_kept(store: EventStore, places: list[Position]) -> None:
    for text in ('"first"', '"second"'):
        await store.store_state(state(places[3], text=text))
        found = await stored(store)
        assert found is not None
        assert found.state == text.encode()


async def test_a_state_of_no_event_is_one(store: EventStore) -> None:
    await store.store_state(state(START, events=0))
    found = await stored(store)
    assert found is not None
    assert (found.position, found.events) == (START, 0)


async def test_what_lies_in_another_history_is_not_stored(store: EventStore, places: list[Position]) -> None:
    elsewhere = (
        structs.replace(places[3], token=places[3].token ^ 1),
        structs.replace(places[3], number=4),
        structs.replace(places[3], number=2**63 - 1),
        structs.replace(START, token=7),
    )
    for position in elsewhere:
        await store.store_state(state(position))
        assert await stored(store) is None
    await store.store_state(state(places[1]))
    for position in elsewhere:
        await store.store_state(state(position))
        found = await stored(store)
        assert found is not None
        assert found.position == places[1]


async def test_states_stored_at_the_same_time_end_with_the_furthest(store: EventStore, places: list[Position]) -> None:
    keys = [replace(KEY, key=f"[{number}]") for number in range(5)]
    await asyncio.gather(*(store.store_state(state(place, key=key)) for key in keys for place in (*places, places[1])))
    found = await store.stored_states(keys)
    assert [each and each.position for each in found] == [places[3]] * 5
