"""The part reader: reads, cached and stored states, and states that it rejects."""

import asyncio
import gc
import logging
from dataclasses import dataclass, replace
from typing import Any

import pytest
from msgspec import structs

from eventstore import START, Consistency, HistoryDiverged, Position, PositionNotReached, StoredState
from handlers.errors import UnreadableEvent
from handlers.kept_states import KeptStates
from handlers.model import DomainEvent
from handlers.part_reader import LONGEST_AT_ONCE, PartReader
from handlers.state_checksum import with_checksum
from handlers.view import View
from tests.support.domains.jars import (
    Jar,
    WatchedStore,
    after_drop,
    coins_of,
    domain,
    dropped,
    fill,
    jar,
    saved,
    total,
)

EVENTUAL = Consistency.EVENTUAL


@dataclass(frozen=True)
class Odd:
    """A state that does not round-trip through JSON: a tuple is read back as a list."""

    name: str
    pair: Any = None


def paired(state: Odd, _: DomainEvent) -> Odd:
    return replace(state, pair=(1, 2))


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def reader(store: WatchedStore) -> PartReader:
    return PartReader(store, domain, KeptStates())


async def stored(store: WatchedStore) -> StoredState:
    """Store the state of ten coins with a separate reader."""
    await fill(store, *[dropped()] * 10)
    reader = PartReader(store, domain, KeptStates())
    await reader.read([saved.at("a")], consistency=EVENTUAL)
    await reader.close()
    ((kept,),) = [list(store._states.values())]
    return kept


async def test_parts_are_read_together_and_later_only_new_events(store: WatchedStore, reader: PartReader) -> None:
    await fill(store, dropped("a", 5), dropped("b", 7))
    parts = [jar.at("a"), jar.at("b")]
    found = await reader.read(parts, consistency=EVENTUAL)
    assert [found[part].state for part in parts] == [Jar("a", 1, 5), Jar("b", 1, 7)]
    await fill(store, dropped("b", 1))
    again = await reader.read(parts, consistency=EVENTUAL)
    assert again[parts[1]].state == Jar("b", 2, 8)
    assert store.asked == [(0, 1), (0, 1), (2, 0), (2, 1)]
    assert store.statements == 2


async def test_without_parts_the_store_is_not_asked(store: WatchedStore, reader: PartReader) -> None:
    assert (await reader.read([], consistency=EVENTUAL)) == {}
    assert store.statements == 0


async def test_a_long_history_is_streamed_once_for_all_callers(store: WatchedStore, reader: PartReader) -> None:
    count = LONGEST_AT_ONCE + 1
    await fill(store, *[dropped()] * count, dropped("b"))
    store.gate = asyncio.Event()
    part, other = jar.at("a"), jar.at("b")
    asking = [asyncio.create_task(reader.read([part, other], consistency=EVENTUAL)) for _ in range(5)]
    await store.began.wait()
    # Other parts are read meanwhile.
    assert (await reader.read([other], consistency=EVENTUAL))[other].state == Jar("b", 1, 1)
    store.gate.set()
    for found in await asyncio.gather(*asking):
        assert found[part].state == Jar("a", count, count)
    assert store.streamed == [part.filter]
    # From a server that has reached the snapshot of the count: a primary may show a commit later than a standby.
    assert [least.number for least in store.least if least] == [count + 1]


async def test_long_histories_are_streamed_one_at_a_time(store: WatchedStore, reader: PartReader) -> None:
    await fill(store, *[dropped("a"), dropped("b")] * (LONGEST_AT_ONCE + 1))
    store.gate = asyncio.Event()
    asking = [asyncio.create_task(reader.read([jar.at(name)], consistency=EVENTUAL)) for name in ("a", "b")]
    await store.began.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert store.streamed == [jar.at("a").filter]
    store.gate.set()
    found = await asyncio.gather(*asking)
    assert [one[jar.at(name)].events for one, name in zip(found, "ab", strict=True)] == [LONGEST_AT_ONCE + 1] * 2


async def test_a_cancelled_caller_does_not_end_a_long_read_for_others(store: WatchedStore, reader: PartReader) -> None:
    await fill(store, *[dropped()] * (LONGEST_AT_ONCE + 1))
    store.gate = asyncio.Event()
    part = jar.at("a")
    first, second = (asyncio.create_task(reader.read([part], consistency=EVENTUAL)) for _ in range(2))
    await store.began.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    store.gate.set()
    assert (await second)[part].events == LONGEST_AT_ONCE + 1
    assert len(store.streamed) == 1


async def test_a_failed_long_read_fails_all_its_callers_and_is_retried(store: WatchedStore, reader: PartReader) -> None:
    broken = replace(dropped(), payload={"jar": "a"})
    await fill(store, *[dropped()] * LONGEST_AT_ONCE, broken)
    part = jar.at("a")
    failed = await asyncio.gather(
        *(reader.read([part], consistency=EVENTUAL) for _ in range(2)), return_exceptions=True
    )
    assert [type(error) for error in failed] == [UnreadableEvent] * 2
    with pytest.raises(UnreadableEvent, match=f"event {LONGEST_AT_ONCE + 1} .*coin is missing"):
        await reader.read([part], consistency=EVENTUAL)


async def test_a_failed_long_read_without_callers_is_not_reported(
    store: WatchedStore, reader: PartReader, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(store, *[dropped()] * LONGEST_AT_ONCE, replace(dropped(), payload={"jar": "a"}))
    store.gate = asyncio.Event()
    asking = asyncio.create_task(reader.read([jar.at("a")], consistency=EVENTUAL))
    await store.began.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    store.gate.set()
    await asyncio.gather(*reader.long_reads._reading.values(), return_exceptions=True)
    gc.collect()
    assert caplog.records == []


async def test_states_of_a_rewritten_or_truncated_history_are_dropped(store: WatchedStore, reader: PartReader) -> None:
    part = jar.at("a")
    await fill(store, dropped(coin=5), dropped(coin=5))
    await reader.read([part], consistency=EVENTUAL)
    store.rewrite(dropped(coin=1), keeping=1)
    with pytest.raises(HistoryDiverged):
        await reader.read([part], consistency=EVENTUAL)
    assert (await reader.read([part], consistency=EVENTUAL))[part].state == Jar("a", 2, 6)
    store.rewrite(keeping=1)
    with pytest.raises(PositionNotReached):
        await reader.read([part], consistency=EVENTUAL)
    assert (await reader.read([part], consistency=EVENTUAL))[part].state == Jar("a", 1, 5)


async def test_a_stored_state_with_its_tail_equals_the_history(store: WatchedStore) -> None:
    await stored(store)
    await fill(store, dropped(coin=7))
    store.asked.clear()
    found = await PartReader(store, domain, KeptStates()).read([saved.at("a")], consistency=EVENTUAL)
    assert found[saved.at("a")].state == Jar("a", 11, 17)
    assert store.asked == [(10, 1)]


async def test_a_stored_state_of_another_view_version_is_ignored(store: WatchedStore) -> None:
    kept = await stored(store)
    other = with_checksum(kept.key, kept.position, kept.events, b'{"name": "a", "coins": 99, "value": 99}')
    store._states[kept.key] = replace(kept, state=other)
    newer = View(
        name="saved", events=coins_of, initial=Jar, evolve=after_drop, version=saved.version + 1, stored_every=10
    )
    changed = replace(domain, views=(jar, newer, total))
    found = await PartReader(store, changed, KeptStates()).read([newer.at("a")], consistency=EVENTUAL)
    assert found[newer.at("a")].state == Jar("a", 10, 10)
    # The state of the same version is trusted, like any cache.
    found = await PartReader(store, domain, KeptStates()).read([saved.at("a")], consistency=EVENTUAL)
    assert found[saved.at("a")].state == Jar("a", 99, 99)


async def test_a_state_is_stored_after_enough_events_including_own_appends(store: WatchedStore) -> None:
    kept = KeptStates()
    reader, part = PartReader(store, domain, kept), saved.at("a")
    for number in range(1, 26):
        before = (await reader.read([part], consistency=EVENTUAL))[part]
        receipt = await store.append([dropped()])
        own = dropped().recorded(number, 0)
        state = domain.fold(part, before.state, [own])
        moved = structs.replace(before, state=state, position=receipt.position, events=before.events + 1)
        kept.keep(part, reader.storage.stored_if_due(part, moved, own))
    await reader.close()
    (stored,) = store._states.values()
    assert (stored.events, stored.position.number) == (20, 20)
    # No read found new events: own appends are known already.
    assert store.asked == [(number, 0) for number in range(25)]


async def test_views_without_stored_every_are_not_stored(store: WatchedStore, reader: PartReader) -> None:
    await fill(store, *[dropped()] * 20)
    await reader.read([jar.at("a"), total.at()], consistency=EVENTUAL)
    await reader.close()
    assert store._states == {}


@pytest.mark.parametrize(
    "state", [b"{", b'{"name": "a", "coins": "many", "value": 1}'], ids=["no JSON", "another form"]
)
async def test_an_unreadable_state_is_ignored(store: WatchedStore, state: bytes) -> None:
    kept = await stored(store)
    sealed = with_checksum(kept.key, kept.position, kept.events, state)
    await ignored(store, replace(kept, state=sealed))


@pytest.mark.parametrize("position", [Position(number=10, token=5), Position(number=99, token=5)], ids=str)
async def test_a_state_of_another_history_is_ignored(store: WatchedStore, position: Position) -> None:
    kept = await stored(store)
    sealed = with_checksum(kept.key, position, kept.events, b'{"name": "a", "coins": 99, "value": 1}')
    await ignored(store, replace(kept, state=sealed, position=position))


async def test_a_damaged_state_is_ignored(store: WatchedStore) -> None:
    """The view could read each of them, and a decision would count coins that never existed."""
    kept = await stored(store)
    assert kept.state.endswith(b'{"name":"a","coins":10,"value":10}')
    await ignored(store, replace(kept, state=kept.state.replace(b"10", b"99")))
    await ignored(store, replace(kept, state=b'{"name":"a","coins":99,"value":99}'))
    await ignored(store, replace(kept, state=b""))
    await ignored(store, replace(kept, position=START))
    await ignored(store, replace(kept, position=store._log.events[4].position))
    await ignored(store, replace(kept, events=3))
    await fill(store, *[dropped("b", 3)] * 10)
    another = PartReader(store, domain, KeptStates())
    await another.read([saved.at("b")], consistency=EVENTUAL)
    await another.close()
    other = next(each for key, each in store._states.items() if key != kept.key)
    await ignored(store, replace(other, key=kept.key))


async def ignored(store: WatchedStore, damaged: StoredState) -> None:
    store._states[damaged.key] = damaged
    reader = PartReader(store, domain, KeptStates())
    found = await reader.read([saved.at("a")], consistency=EVENTUAL)
    assert found[saved.at("a")].state == Jar("a", 10, 10)
    # And replaced by the correct state.
    await reader.close()
    found = await PartReader(store, domain, KeptStates()).read([saved.at("a")], consistency=EVENTUAL)
    assert found[saved.at("a")].state == Jar("a", 10, 10)


async def test_a_request_beyond_the_head_does_not_affect_others(store: WatchedStore) -> None:
    """Neither the cache is dropped nor the stored state rejected, which would cost another long read."""
    await stored(store)
    kept = KeptStates()
    reader = PartReader(store, domain, kept)
    await reader.read([jar.at("a")], consistency=EVENTUAL)
    beyond = Position(number=11, token=1)
    store.refused.clear()
    with pytest.raises(PositionNotReached):
        await reader.read([saved.at("a")], consistency=EVENTUAL, min_position=beyond)
    assert store.refused == [beyond]
    with pytest.raises(PositionNotReached):
        await reader.read([jar.at("a")], consistency=EVENTUAL, min_position=beyond)
    assert kept.find(jar.at("a")) is not None


async def test_a_view_whose_states_do_not_round_trip_is_not_stored_and_logged_once(
    store: WatchedStore, caplog: pytest.LogCaptureFixture
) -> None:
    odd = View(name="odd", events=coins_of, initial=Odd, evolve=paired, stored_every=1)
    reader = PartReader(store, replace(domain, views=(*domain.views, odd)), KeptStates())
    await fill(store, dropped("a"), dropped("b"))
    with caplog.at_level(logging.WARNING):
        await reader.read([odd.at("a"), odd.at("b")], consistency=EVENTUAL)
        await reader.close()
        await fill(store, dropped("a"))
        await reader.read([odd.at("a")], consistency=EVENTUAL)
        await reader.close()
    assert store._states == {}
    assert [record.getMessage() for record in caplog.records] == [
        "the state of odd.at('a') is not stored: read back, it would not be the same"
    ]


async def test_a_state_that_the_store_refuses_does_not_affect_reads(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_: StoredState) -> None:
        raise PositionNotReached("not now")

    monkeypatch.setattr(store, "store_state", refuse)
    await fill(store, *[dropped()] * 10)
    reader = PartReader(store, domain, KeptStates())
    with caplog.at_level(logging.WARNING):
        found = await reader.read([saved.at("a")], consistency=EVENTUAL)
        await reader.close()
    assert found[saved.at("a")].state == Jar("a", 10, 10)
    assert "was not stored: not now" in caplog.text


async def test_of_several_due_states_only_the_latest_is_stored_one_at_a_time(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, part = PartReader(store, domain, KeptStates()), saved.at("a")
    began, gate, written, genuine = asyncio.Event(), asyncio.Event(), list[int](), store.store_state

    async def slowly(state: StoredState) -> None:
        written.append(state.events)
        began.set()
        await gate.wait()
        await genuine(state)

    monkeypatch.setattr(store, "store_state", slowly)
    for _ in range(5):
        await fill(store, *[dropped()] * 10)
        await reader.read([part], consistency=EVENTUAL)
        await began.wait()
    gate.set()
    await reader.close()
    assert written == [10, 50]


async def test_closing_does_not_wait_for_the_storing_of_states(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: StoredState) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "store_state", never)
    monkeypatch.setattr("handlers.state_storage._CLOSE_SECONDS", 0)
    await fill(store, *[dropped()] * 10)
    reader = PartReader(store, domain, KeptStates())
    await reader.read([saved.at("a")], consistency=EVENTUAL)
    await reader.close()
    await reader.close()
    assert store._states == {}


async def test_without_a_cache_every_read_reads_everything(store: WatchedStore) -> None:
    await fill(store, *[dropped()] * (LONGEST_AT_ONCE + 1))
    reader = PartReader(store, domain, KeptStates(most=0))
    part = jar.at("a")
    for _ in range(2):
        found = await reader.read([part], consistency=EVENTUAL)
        assert found[part].events == LONGEST_AT_ONCE + 1
    assert len(store.streamed) == 2
