"""A request that the driver or the server refuses, in one batch with good ones: it fails alone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import pytest
from msgspec.structs import force_setattr

from eventstore import START, Append, ChainBroken, ConcurrencyConflict, Event, Filter, InvalidRequest, Receipt
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.appends.batch import Verdict
from tests.integration.eventstore.questions import ANY, counted, keys, numbers, of, request
from tests.integration.eventstore.staging import Connection, head_locked, waiting
from tests.support.fixtures.databases import Database

TOO_DEEP = '{"Deep": ' + "[" * 50_000 + "]" * 50_000 + "}"


def smuggled(payload: str) -> Event:
    """An event whose payload has not been checked on this side."""
    event = counted("bad")
    object.__setattr__(event, "payload_text", payload)
    return event


@pytest.mark.parametrize("place", [0, 3, 6])
@pytest.mark.parametrize(
    ("payload", "code"), [(TOO_DEEP, "54001"), (r'{"Text": "\u0000"}', "22P05"), ("no JSON", "22P02"), ("[]", "23514")]
)
async def test_what_the_server_refuses_fails_alone(
    store: PostgresEventStore, payload: str, code: str, place: int
) -> None:
    events = [counted(f"k{number}") for number in range(7)]
    events[place] = smuggled(payload)
    results = await asyncio.gather(*(store.append([event]) for event in events), return_exceptions=True)
    refused = results.pop(place)
    assert isinstance(refused, InvalidRequest)
    assert refused.code == code
    assert all(isinstance(result, Receipt) for result in results)
    assert keys(await store.query(ANY)) == [f"k{number}" for number in range(7) if number != place]


async def test_what_the_driver_refuses_fails_alone(store: PostgresEventStore) -> None:
    bad = request(counted("bad"), digest=b"d")
    force_setattr(bad, "key", "no key")
    good = [request(counted(key), boundary=of(key)) for key in "abc"]
    settle = store._appender._batches.settle
    refused, *passed = await asyncio.gather(*(settle(each) for each in [bad, *good]), return_exceptions=True)
    assert isinstance(refused, InvalidRequest)
    assert all(isinstance(result, Receipt) for result in passed)
    assert keys(await store.query(ANY)) == ["a", "b", "c"]


async def test_several_bad_requests_leave_the_good_ones_alone(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    events = [smuggled("[]") if number % 3 else counted(f"k{number}") for number in range(12)]
    async with head_locked(database.admin_url):
        first = asyncio.create_task(store.append([counted("first")]))
        await waiting(admin, 1)
        others = [asyncio.create_task(store.append([event])) for event in events]
        await waiting(admin, 1)
    await first
    results = await asyncio.gather(*others, return_exceptions=True)
    assert [isinstance(result, InvalidRequest) for result in results] == [number % 3 > 0 for number in range(12)]
    assert keys(await store.query(ANY)) == ["first", "k0", "k3", "k6", "k9"]


def link(*events: Event, boundary: Filter) -> Append:
    return Append(events=events, boundary=boundary, after=START, key=uuid4())


@pytest.mark.parametrize("place", [1, 2, 5])
async def test_of_a_chain_with_a_refused_value_only_who_relied_on_it_is_broken(
    store: PostgresEventStore, database: Database, admin: Connection, place: int
) -> None:
    # All have one boundary, besides two that have one of their own.
    chain = [link(counted("a", Place=n), boundary=of("a")) for n in range(6)]
    chain[place] = link(smuggled(r'{"Key": "a", "Text": "\u0000"}'), boundary=of("a"))
    chain += [link(counted("b"), boundary=of("b")), link(counted("b"), boundary=of("b"))]
    async with head_locked(database.admin_url):
        first = asyncio.create_task(store.append([counted("first")]))
        await waiting(admin, 1)
        chained = asyncio.create_task(store.append_chain(chain))
        neighbour = asyncio.create_task(store.append([counted("neighbour")]))
    await asyncio.gather(first, neighbour)
    answers = await chained
    broken = [ChainBroken] * (5 - place)
    assert [type(answer) for answer in answers] == [Receipt] * place + [InvalidRequest, *broken, Receipt, Receipt]
    log = await store.query(ANY)
    assert numbers(log) == list(range(1, place + 5))
    assert keys(log) == ["first", *["a"] * place, "b", "b", "neighbour"]


async def test_between_the_halves_of_a_chain_others_conflict_as_ever(
    store: PostgresEventStore, stores: Callable[[int], Awaitable[list[PostgresEventStore]]]
) -> None:
    (other,) = await stores(1)
    chain = [link(counted("a", Place=n), boundary=of("a")) for n in range(4)]
    chain[1] = link(smuggled(r'{"Key": "b", "Text": "\u0000"}'), boundary=of("b"))
    batches = store._appender._batches
    send = batches.send
    sent = 0

    async def interrupted(appends: Sequence[Append], *, chained: bool = False) -> list[Verdict]:
        nonlocal sent
        sent += 1
        if sent == 5:  # the whole, its first half, each of that: what follows is the second half
            await other.append([counted("a", Place="stranger")])
        return await send(appends, chained=chained)

    batches.send = interrupted  # type: ignore[method-assign]
    answers = await store.append_chain(chain)
    assert [type(answer) for answer in answers] == [Receipt, InvalidRequest, ConcurrencyConflict, ConcurrencyConflict]
    assert {answer.sequence_number for answer in answers if isinstance(answer, ConcurrencyConflict)} == {2}


async def test_a_chain_whose_events_cannot_be_read_is_judged_all_the_same(store: PostgresEventStore) -> None:
    chain = [link(counted("a"), boundary=of("a")), link(smuggled("[]"), boundary=of("b"))]
    chain += [link(counted("c"), boundary=of("c"))]
    # Nobody can tell whom it would have concerned.
    assert [type(answer) for answer in await store.append_chain(chain)] == [Receipt, InvalidRequest, ChainBroken]
    assert keys(await store.query(ANY)) == ["a"]
