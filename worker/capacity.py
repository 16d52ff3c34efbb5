"""Capacity: whether the database servers allow the connections that the settings need."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from eventstore import EventStoreError, StoreMisconfigured, StoreUnavailable
from eventstore.counted import counted
from eventstore.postgres import Survey, survey
from worker.credentials import servers_of
from worker.failures import naming
from worker.stores import StoreSettings

__all__ = ["check_capacity", "connections_to"]

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Server:
    """One database server, for all stores that use it.

    Attributes:
        names: Its hosts with ports, from the addresses.
        told_as: How messages name it.
        url: An address of a database on it.
        variable: The variable with that address.
        schema: The schema of the store in that database.
        is_primary: Whether ``url`` is the address of a primary.
        wanted: The most connections that one process opens to it.
        beside: The most connections that a process for poison messages opens in addition.
    """

    names: frozenset[str]
    told_as: list[str]
    url: str
    variable: str
    schema: str
    is_primary: bool
    wanted: int
    beside: int


async def check_capacity(stores: Sequence[StoreSettings], pool_size: int, processes: int) -> None:
    """Compare the connections that the worker processes may open with the limit of each server; warn if it is too low.

    If several stores use one server, their connections are added up. A server that does not answer is skipped: reads or
    domains can wait for it. But at least one primary must answer.

    Args:
        stores: The stores.
        pool_size: The most connections that a process opens to each server of each store.
        processes: How many worker processes there will be.

    Raises:
        StoreMisconfigured: A primary allows too few connections for a single process.
        StoreUnavailable: No primary can be reached.
    """
    servers = _joined(each for store in stores for each in _servers(store, pool_size, is_alone=len(stores) == 1))
    found = await asyncio.gather(*(_surveyed(server) for server in servers))
    primaries = [one for server, one in zip(servers, found, strict=True) if server.is_primary]
    failures = [one for one in primaries if isinstance(one, EventStoreError)]
    for failure in failures:
        if len(failures) == len(primaries) or not isinstance(failure, StoreUnavailable):
            raise failure
    for server, one in zip(servers, found, strict=True):
        if isinstance(one, Survey):
            _compare(server, one.connections, processes)


def connections_to(url: str, stores: Sequence[StoreSettings], pool_size: int) -> int:
    """Return the most connections that one process opens to the server of an address, for all stores together."""
    servers = _joined(each for store in stores for each in _servers(store, pool_size, is_alone=True))
    names = servers_of(url)
    return sum(server.wanted for server in servers if server.names & names) or pool_size


def _servers(store: StoreSettings, pool_size: int, *, is_alone: bool) -> Iterator[_Server]:
    whose = "" if is_alone else f" of {', '.join(store.domains)}"
    for number, url in enumerate((store.database_url, *store.database_replica_urls)):
        yield _Server(
            names=servers_of(url),
            told_as=[f"replica {number}{whose}" if number else f"the primary{whose}"],
            url=url,
            variable=store.variable("database_replica_urls" if number else "database_url"),
            schema=store.database_schema,
            is_primary=not number,
            wanted=pool_size,
            beside=int(not number),
        )


def _joined(servers: Iterable[_Server]) -> list[_Server]:
    """Merge the entries of the same server. A server whose address names no host is not merged."""
    found: list[_Server] = []
    for server in servers:
        one = server
        for known in [each for each in found if each.names & server.names]:
            found.remove(known)
            told = one if one.is_primary and not known.is_primary else known
            one = _Server(
                names=known.names | one.names,
                told_as=known.told_as + one.told_as,
                url=told.url,
                variable=told.variable,
                schema=told.schema,
                is_primary=known.is_primary or one.is_primary,
                wanted=known.wanted + one.wanted,
                beside=known.beside + one.beside,
            )
        found.append(one)
    return found


async def _surveyed(server: _Server) -> Survey | EventStoreError:
    try:
        with naming(server.variable):
            return await survey(server.url, schema=server.schema, primary=server.is_primary)
    except EventStoreError as error:
        return error


def _compare(server: _Server, allowed: int, processes: int) -> None:
    told_as, most = " and ".join(server.told_as), processes * (server.wanted + server.beside)
    if server.is_primary and allowed < server.wanted:
        raise StoreMisconfigured(
            f"{told_as} has {counted(allowed, 'connection')} for workers, and one process opens up to "
            f"{server.wanted}: raise max_connections, or lower WORKER_CONCURRENCY"
        )
    if most > allowed:
        _log.warning(
            "%s has %s for workers, and %d processes open up to %d: raise max_connections, or lower "
            "WORKER_CONCURRENCY or the number of processes",
            told_as,
            counted(allowed, "connection"),
            processes,
            most,
        )
