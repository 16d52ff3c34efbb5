import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from eventstore.postgres import PostgresEventStore
from examples.library_web.library_web.settings import Settings
from handlers.library import domain
from tests.integration.reading.projecting import coordinating
from tests.integration.web.site import Site, served
from tests.support.fixtures.databases import Shelf
from tests.support.fixtures.environment import Environment
from tests.support.fixtures.vhosts import Management, made_vhost
from tests.support.serving import serving_domain


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(shelf: Shelf, stack_environment: Environment, management: Management) -> AsyncIterator[Site]:
    """The web program, with a worker and projections beside it: one for a module's tests, each with books of its own.

    Not longer: between the last test and its end nothing would run the loop, and the broker gives up who says nothing.
    """
    database = await shelf.take()
    try:
        with made_vhost(stack_environment, management) as amqp_url:
            settings = Settings(
                database_url=database.url, replica_urls=database.replica_urls, amqp_url=amqp_url, seen_seconds=30.0
            )
            async with (
                PostgresEventStore.connect(database.url) as store,
                serving_domain(domain, store, amqp_url),
                coordinating(database.url, domain),
                served(settings) as (address, library),
            ):
                site = Site(database=database, settings=settings, store=store, address=address, library=library)
                async with asyncio.timeout(90):
                    await site.begin()
                yield site
    finally:
        await shelf.put_back(database)
