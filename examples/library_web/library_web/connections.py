import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from eventstore import Filter
from eventstore.postgres import PostgresEventStore
from handlers import Reader
from handlers.library import domain
from worker import Publisher, ReadModels

from .changes import Changes
from .commands import Commands
from .settings import Settings
from .shelves import TROUBLES, ReadModelsAway, ShelfReader

_log = logging.getLogger(__name__)

SHELF_EVENTS = Filter.matching().any_event_type_of(
    "BookCopyAddedToCirculation",
    "BookCopyRemovedFromCirculation",
    "BookCopyLentToReader",
    "BookCopyReturnedByReader",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    commands: Commands
    shelves: ShelfReader
    changes: Changes


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Library]:
    """Connect to the broker and the database; at the end, end the subscription and close everything."""
    async with (
        Publisher.connect(settings.amqp_url, name="library-web") as publisher,
        PostgresEventStore.connect(
            settings.database_url, replica_urls=settings.replica_urls, application_name="library-web"
        ) as store,
        _pool(settings.database_url) as pool,
        # Over the same connections: another server may be further than the one that the tables are read from.
        ReadModels.over(pool) as models,
    ):
        reader = Reader(store, domain)
        changes = Changes(store, SHELF_EVENTS)
        following = asyncio.create_task(changes.run())
        following.add_done_callback(_ended)
        try:
            yield Library(
                commands=Commands(publisher, store, seconds=settings.answer_seconds),
                shelves=ShelfReader(reader, models, pool, seconds=settings.seen_seconds),
                changes=changes,
            )
        finally:
            changes.close()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await reader.close()


def _ended(following: asyncio.Task[None]) -> None:
    """Tell of a failure that nobody awaits: without it, pages would just not be live any more."""
    if not following.cancelled() and (error := following.exception()) is not None:
        _log.error("nothing is live until this program is started again", exc_info=error)


@asynccontextmanager
async def _pool(url: str) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    """Open connections for the tables."""
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=4,
            timeout=5,
            command_timeout=5,
            server_settings={"application_name": "library-web"},
        )
    except TROUBLES as error:
        raise ReadModelsAway(str(error) or type(error).__name__) from error
    try:
        yield pool
    finally:
        await pool.close()
