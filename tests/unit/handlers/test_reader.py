"""The reader: answers of views with the requested freshness."""

import asyncio
from dataclasses import replace
from math import nan
from typing import Any

import pytest

from eventstore import (
    Consistency,
    Filter,
    HistoryDiverged,
    InvalidRequest,
    P,
    Position,
    PositionNotReached,
    StoreUnavailable,
)
from handlers import HandlerCrashed, InvalidParts, Reader, UnknownView, View
from handlers.part_reader import LONGEST_AT_ONCE
from tests.support.domains.jars import Jar, WatchedStore, after_drop, domain, dropped, fill, jar


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def reader(store: WatchedStore) -> Reader:
    return Reader(store, domain)


async def test_a_view_is_asked_at_a_key(store: WatchedStore, reader: Reader) -> None:
    await fill(store, dropped("a", 5), dropped("b", 2))
    assert await reader.state(jar.at("a")) == Jar("a", 1, 5)
    assert await reader.state(jar.at("nobody's")) == Jar("nobody's")
    answer = await reader.answer(jar.at("b"))
    assert (answer.state, answer.position.number) == (Jar("b", 1, 2), 2)


async def test_a_reader_sees_the_position_of_a_reply(store: WatchedStore, reader: Reader) -> None:
    receipt = await store.append([dropped()])
    assert (await reader.state(jar.at("a"), min_position=receipt.position)).coins == 1
    with pytest.raises(PositionNotReached):
        await reader.state(jar.at("a"), min_position=Position(number=2, token=1))
    with pytest.raises(HistoryDiverged):
        await reader.state(jar.at("a"), min_position=Position(number=1, token=1))


async def test_a_recent_answer_is_returned_without_asking_the_store(store: WatchedStore, reader: Reader) -> None:
    await fill(store, dropped())
    await reader.state(jar.at("a"))
    receipt = await store.append([dropped()])
    store.asked.clear()
    assert (await reader.state(jar.at("a"), max_age=3600)).coins == 1
    assert store.asked == []
    # The position counts, even if the answer is recent.
    assert (await reader.state(jar.at("a"), max_age=3600, min_position=receipt.position)).coins == 2
    assert (await reader.state(jar.at("a"), max_age=3600, min_position=receipt.position)).coins == 2
    assert store.asked == [(1, 1)]
    await fill(store, dropped())
    assert (await reader.state(jar.at("a"))).coins == 3


@pytest.mark.parametrize("count", [1, LONGEST_AT_ONCE + 1])
async def test_an_answer_of_a_replica_is_not_returned_for_a_strong_read(
    store: WatchedStore, reader: Reader, count: int
) -> None:
    """Even if it is recent: the replica may have lagged."""
    await fill(store, *[dropped()] * count)
    store.answers_as_replica = True
    await reader.state(jar.at("a"))
    await fill(store, dropped())
    assert (await reader.state(jar.at("a"), max_age=3600)).coins == count
    strong = await reader.state(jar.at("a"), max_age=3600, consistency=Consistency.STRONG)
    assert strong.coins == count + 1
    store.asked.clear()
    await reader.state(jar.at("a"), max_age=3600, consistency=Consistency.STRONG)
    await reader.state(jar.at("a"), max_age=3600)
    assert store.asked == []
    await reader.state(jar.at("a"), max_age=nan)
    assert len(store.asked) == 1


async def test_the_age_of_an_answer_counts_from_its_snapshot(
    store: WatchedStore, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    for module in ("handlers.part_reader", "handlers.reader"):
        monkeypatch.setattr(f"{module}.monotonic", lambda: clock[0])
    await fill(store, *[dropped()] * (LONGEST_AT_ONCE + 1))
    store.gate = asyncio.Event()
    asking = asyncio.create_task(reader.state(jar.at("a")))
    await store.began.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await fill(store, dropped())
    clock[0] += 3
    store.gate.set()
    # The read continues by itself; its result is three seconds old.
    await asyncio.gather(*reader._parts.long_reads._reading.values())
    assert (await reader.state(jar.at("a"), max_age=1)).coins == LONGEST_AT_ONCE + 2


async def test_a_closed_reader_raises(store: WatchedStore, reader: Reader) -> None:
    await fill(store, *[dropped()] * (LONGEST_AT_ONCE + 1))
    store.gate = asyncio.Event()
    asking = asyncio.create_task(reader.state(jar.at("a")))
    await store.began.wait()
    await reader.close()
    with pytest.raises(StoreUnavailable, match="the reader was closed"):
        await asking


async def test_only_views_of_the_domain_are_answered(reader: Reader) -> None:
    def events(name: str) -> Filter:
        return Filter.matching().any_predicate_of(P("jar", name))

    with pytest.raises(InvalidParts, match="lists another view jar"):
        await reader.state(View(name="jar", events=events, initial=Jar, evolve=after_drop).at("a"))
    jar: Any = View(name="jar", events=events, initial=Jar, evolve=after_drop)
    with pytest.raises(InvalidParts, match=r"a reader is asked a view at a key, such as shelf.at\(…\), not a View"):
        await reader.state(jar)
    with pytest.raises(UnknownView):
        await reader.state(View(name="jam", events=events, initial=Jar, evolve=after_drop).at("a"))


@pytest.mark.parametrize(("given", "kind"), [(7, "an int"), ("7:3", "a str")])
async def test_a_position_that_is_none_is_refused_with_the_way_to_make_one(
    reader: Reader, given: Any, kind: str
) -> None:
    """A web program gets it back as a text."""
    with pytest.raises(InvalidRequest) as raised:
        await reader.state(jar.at("a"), min_position=given)
    assert str(raised.value) == (f"min_position is a Position, not {kind}: Position.parse(text) makes one of a text")


@pytest.mark.parametrize("count", [1, LONGEST_AT_ONCE + 1])
@pytest.mark.parametrize("raised", [SystemExit(3), asyncio.CancelledError(), GeneratorExit()], ids=repr)
async def test_code_of_the_domain_cannot_end_the_callers_program(
    store: WatchedStore, count: int, raised: BaseException
) -> None:
    """A long history is folded in its own task, from which SystemExit would end the loop."""

    def crashing(*_: Any) -> Jar:
        raise raised

    view = View(name="jar", events=jar.events, initial=Jar, evolve=crashing)
    reader = Reader(store, replace(domain, views=(view,)))
    await fill(store, *[dropped()] * count)
    with pytest.raises(HandlerCrashed, match=type(raised).__name__):
        await reader.state(view.at("a"))
    ended = View(name="jar", events=jar.events, initial=crashing, evolve=after_drop)
    with pytest.raises(HandlerCrashed, match=type(raised).__name__):
        await Reader(store, replace(domain, views=(ended,))).state(ended.at("a"))
