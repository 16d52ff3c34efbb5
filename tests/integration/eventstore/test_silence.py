"""A network that swallows what is sent, and a server that only takes its time."""

import asyncio
from uuid import uuid4

import pytest

from eventstore import OutcomeUnknown
from eventstore.postgres import PostgresEventStore, silence
from tests.fixtures.databases import Database
from tests.integration.eventstore.proxy import proxy
from tests.integration.eventstore.questions import ANY, counted, keys
from tests.integration.eventstore.staging import Connection, head_locked, waiting


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "_PATIENCE_SECONDS", 0.2)


async def test_an_append_on_a_connection_that_went_silent_is_sent_again_on_another(database: Database) -> None:
    async with proxy(database.url) as way, PostgresEventStore.connect(way.url) as store:
        await store.append([counted("before")])
        way.swallow()
        key = uuid4()
        async with asyncio.timeout(60):
            receipt = await store.append([counted("a")], key=key)
            assert receipt.first == 2
            way.swallow()
            with pytest.raises(OutcomeUnknown):
                await store.append([counted("b")])
        assert (await store.receipt(key)) == receipt


async def test_an_append_that_waits_for_its_turn_is_left_alone(
    store: PostgresEventStore, database: Database, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = asyncio.Semaphore(0)
    works = silence._works

    async def look(*arguments: object) -> bool:
        found = await works(*arguments)  # type: ignore[arg-type]  # it passes on what it is given
        looks.release()
        return found

    monkeypatch.setattr(silence, "_works", look)
    async with head_locked(database.admin_url):
        append = asyncio.create_task(store.append([counted("a")]))
        (process,) = await waiting(admin, 1)
        for _ in range(3):
            await looks.acquire()
        assert await waiting(admin, 1) == (process,)
    assert (await append).first == 1
    assert keys(await store.query(ANY)) == ["a"]
