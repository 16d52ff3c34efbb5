"""A server that stops, dies and comes back, under a store that stays open."""

import asyncio
from contextlib import suppress
from uuid import uuid4

import pytest

from eventstore import EventStoreError, OutcomeUnknown, StoreUnavailable
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.connections.translation import DRIVER_ERRORS
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import ANY, counted, keys, of
from tests.integration.eventstore.staging import connected, head_locked, waiting


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_a_store_works_again_when_its_server_is_back(replicated: Replicated, way: str) -> None:
    async with PostgresEventStore.connect(replicated.url) as store:
        position = (await store.append([counted("a")])).position
        getattr(replicated.primary, way)()
        # A connection may be kept whose end is only noticed when it is used: then nobody knows what the server got.
        for append_fails in (StoreUnavailable | OutcomeUnknown, StoreUnavailable):
            with pytest.raises(StoreUnavailable):
                await store.query(ANY)
            with pytest.raises(EventStoreError) as failed:
                await store.append([counted("lost")])
            assert isinstance(failed.value, append_fails)
        replicated.primary.start()
        receipt = await store.append([counted("a")], boundary=of("a"), after=position)
        assert receipt.first == 2
        assert keys(await store.query(ANY)) == ["a", "a"]


async def test_a_store_does_not_notice_a_restart_while_it_is_idle(replicated: Replicated) -> None:
    async with PostgresEventStore.connect(replicated.url) as store:
        await store.append([counted("a")])
        await asyncio.to_thread(replicated.primary.restart)
        assert keys(await store.query(ANY)) == ["a"]
        assert (await store.append([counted("b")])).first == 2


async def test_an_append_under_way_when_the_server_goes_is_recorded_once(replicated: Replicated) -> None:
    key = uuid4()
    async with PostgresEventStore.connect(replicated.url) as store:
        with suppress(*DRIVER_ERRORS):  # the connection that holds the lock breaks, too
            async with connected(replicated.admin_url) as admin, head_locked(replicated.admin_url):
                append = asyncio.create_task(store.append([counted("a")], key=key))
                await waiting(admin, 1)
                await asyncio.to_thread(replicated.primary.kill)
        with pytest.raises(OutcomeUnknown, match="could not be sent again"):
            await append
        replicated.primary.start()
        assert (await store.append([counted("a")], key=key)).first == 1
        assert (await store.append([counted("a")], key=key)).duplicate
        assert keys(await store.query(ANY)) == ["a"]


async def test_a_store_does_not_open_on_a_server_that_is_down(replicated: Replicated) -> None:
    replicated.primary.stop()
    with pytest.raises(StoreUnavailable):
        async with PostgresEventStore.connect(replicated.url):
            pass
    replicated.primary.start()
    async with PostgresEventStore.connect(replicated.url) as store:
        assert (await store.append([counted("a")])).first == 1
