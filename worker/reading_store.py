"""The reading store: opens a store for reading, on any server that answers, even if none accepts writes."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from eventstore import StoreUnavailable
from eventstore.postgres import PostgresEventStore
from worker.credentials import address_of
from worker.failures import naming
from worker.stores import StoreSettings

__all__ = ["first_that_answers", "reading_store"]

_T = TypeVar("_T")


async def first_that_answers(store: StoreSettings, ask: Callable[[str, bool], Awaitable[_T]]) -> _T:
    """Ask the primary; if it cannot be asked, any server at its address, and then each replica.

    If a server other than the primary answers, a line on standard error says so: it may lag.

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
    for url, name in ((primary, variable), *((each, replicas) for each in store.database_replica_urls)):
        try:
            with naming(name):
                answer = await ask(url, False)
        except StoreUnavailable:
            continue
        print(f"{failure}; read from {address_of(url)}, which may lag.", file=sys.stderr)  # noqa: T201  beside the answer
        return answer
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
