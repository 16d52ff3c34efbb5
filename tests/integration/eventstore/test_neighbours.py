"""A request that the driver or the server refuses, in one batch with good ones: it fails alone."""

import asyncio
from dataclasses import replace
from typing import cast
from uuid import UUID, uuid4

import pytest

from eventstore import START, Append, ChainBroken, Event, InvalidRequest, Receipt
from eventstore.postgres import PostgresEventStore
from tests.fixtures.databases import Database
from tests.integration.eventstore.questions import ANY, counted, keys, of, request
from tests.integration.eventstore.staging import Connection, head_locked, waiting

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
    bad = replace(request(counted("bad")), key=cast("UUID", "no key"), digest=b"d")
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


async def test_of_a_chain_with_a_bad_request_only_the_first_is_recorded(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    chain = [
        Append(events=[event], boundary=of("a"), after=START, key=uuid4())
        for event in (counted("a"), smuggled("[]"), counted("a"))
    ]
    async with head_locked(database.admin_url):
        first = asyncio.create_task(store.append([counted("first")]))
        await waiting(admin, 1)
        chained = asyncio.create_task(store.append_chain(chain))
        neighbour = asyncio.create_task(store.append([counted("neighbour")]))
    await asyncio.gather(first, neighbour)
    assert [type(answer) for answer in await chained] == [Receipt, ChainBroken, ChainBroken]
    assert sorted(keys(await store.query(ANY))) == ["a", "first", "neighbour"]
