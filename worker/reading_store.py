"""The reading store: opens a store for reading, on any server that answers, even if none accepts writes."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar

from eventstore import StoreUnavailable
from eventstore.postgres import PostgresEventStore
from worker.credentials import address_of
from worker.failures import naming
from worker.stores import StoreSettings

__all__ = ["first_that_answers", "head_of", "reading_store"]

_T = TypeVar("_T")


async def first_that_answers(store: StoreSettings, ask: Callable[[str, bool], Awaitable[_T]]) -> _T:
    """Ask the primary; if it cannot be asked, any server at its address and each replica, at the same time.

    If one of those answers first, a line on standard error says so: it may lag.

    Args:
        store: The store's addresses.
        ask: Called with an address, and whether the server there must accept writes; returns the answer.

    Raises:
        StoreUnavailable: No server answers. The error is that of the primary's address.
    """
    primary = store.database_url
    variable = store.variable("database_url")
    try:
        with naming(variable):
            return await ask(primary, True)
    except StoreUnavailable as error:
        failure = error
    replicas = store.variable("database_replica_urls")

    async def answer_of(url: str, name: str) -> _T:
        with naming(name):
            return await ask(url, False)

    servers = ((primary, variable), *((url, replicas) for url in store.database_replica_urls))
    # One that is silent keeps nobody from the answer of another.
    asked = {asyncio.create_task(answer_of(url, name)): url for url, name in servers}
    try:
        waiting = set(asked)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                with suppress(StoreUnavailable):
                    answer = each.result()
                    print(f"{failure}; read from {address_of(asked[each])}, which may lag.", file=sys.stderr)  # noqa: T201  beside the answer
                    return answer
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    raise failure


@asynccontextmanager
async def reading_store(
    store: StoreSettings, *, application_name: str, pool_size: int = 1
) -> AsyncIterator[PostgresEventStore]:
    """Open a store for reading, on a server as chosen by ``first_that_answers``, and close it at the end.

    Raises:
        StoreUnavailable, StoreMisconfigured: No server answers, or the store cannot be used: as in
            ``PostgresEventStore.connect``.
    """
    async with AsyncExitStack() as stack:

        async def connect(url: str, writable: bool) -> PostgresEventStore:  # noqa: FBT001  the signature of ``ask``
            return await stack.enter_async_context(
                PostgresEventStore.connect(
                    url,
                    driver=store.database_driver,
                    schema=store.database_schema,
                    pool_size=pool_size,
                    application_name=application_name,
                    writable=writable,
                )
            )

        yield await first_that_answers(store, connect)


async def head_of(store: StoreSettings, *, application_name: str) -> int:
    """Return the sequence number of a log's head as it is now, from a server at the primary's address.

    Raises:
        StoreUnavailable, StoreMisconfigured: No server answers, or the store cannot be used: as in
            ``PostgresEventStore.connect``.
    """
    with naming(store.variable("database_url")):
        async with PostgresEventStore.connect(
            store.database_url,
            driver=store.database_driver,
            schema=store.database_schema,
            pool_size=1,
            application_name=application_name,
            writable=False,
        ) as log:
            return (await log.position()).number
