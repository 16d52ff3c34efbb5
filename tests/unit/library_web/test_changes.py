"""The change streams for browsers: each change once, from their position, and a reset after the log was rewritten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from eventstore import Event, HistoryDiverged, MemoryEventStore, Position, StoreUnavailable, Window
from examples.library_web.library_web import changes as module
from examples.library_web.library_web.changes import Changes
from examples.library_web.library_web.connections import SHELF_EVENTS

LENT = Event(type="BookCopyLentToReader", payload={"BookID": "b"})
OTHER = Event(type="ReaderRegistered", payload={"ReaderID": "r"})


@asynccontextmanager
async def running(store: MemoryEventStore) -> AsyncIterator[Changes]:
    changes = Changes(store, SHELF_EVENTS)
    task = asyncio.create_task(changes.run())
    try:
        async with asyncio.timeout(60):
            yield changes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_browser_gets_exactly_the_changes_after_its_page() -> None:
    store = MemoryEventStore()
    page = (await store.append([LENT])).position
    seen = (await store.append([LENT])).position
    async with running(store) as changes:
        behind, current = changes.watch(page), changes.watch(seen)
        assert await anext(behind) == seen
        # An up-to-date stream waits for the next change and ignores other events.
        waiting = asyncio.ensure_future(anext(current))
        other = (await store.append([OTHER])).position
        last = (await store.append([LENT])).position
        assert await waiting == last != other
        assert await anext(behind) == last


async def test_streams_end_when_it_is_closed() -> None:
    async with running(MemoryEventStore()) as changes:
        stream = changes.watch(None)
        assert (await anext(stream)).number == 0
        waiting = asyncio.ensure_future(anext(stream, None))
        await asyncio.sleep(0)
        changes.close()
        assert await waiting is None


class Interrupted(MemoryEventStore):
    """A store whose subscription raises each of these errors once."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    async def follow(self, *arguments: Any, **options: Any) -> AsyncIterator[Window]:
        if self.errors:
            raise self.errors.pop(0)
        async for window in super().follow(*arguments, **options):
            yield window


async def test_it_continues_after_a_rewritten_log_and_an_outage_of_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_REST_SECONDS", 0.0)
    store = Interrupted(HistoryDiverged("rewritten"), StoreUnavailable("away"))
    async with running(store) as changes:
        stream = changes.watch(Position(number=0, token=0))
        waiting = asyncio.ensure_future(anext(stream))
        position = (await store.append([LENT])).position
        assert await waiting == position
        assert store.errors == []
