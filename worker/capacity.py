"""Capacity: whether the database servers have connections for all that the settings ask for."""

import logging

from eventstore import EventStoreError, StoreMisconfigured
from eventstore.counted import counted
from eventstore.postgres import survey
from worker.settings import Settings

__all__ = ["check_capacity"]

_log = logging.getLogger(__name__)


async def check_capacity(settings: Settings, processes: int) -> None:
    """Compare what so many worker processes may open with what each server allows; warn of what is too little.

    A replica that cannot be asked is passed over, as its reads are.

    Raises:
        StoreMisconfigured: The primary has too few connections for a single process.
        StoreUnavailable: The primary cannot be reached.
    """
    found = await survey(settings.database_url, primary=True)
    if found.connections < settings.pool_size:
        raise StoreMisconfigured(
            f"the primary has {counted(found.connections, 'connection')} for workers, and one process opens up to "
            f"{settings.pool_size}: raise max_connections, or lower WORKER_CONCURRENCY"
        )
    # One more for the process that decides poison messages.
    _compare("the primary", found.connections, processes * (settings.pool_size + 1), processes)
    for number, url in enumerate(settings.database_replica_urls, 1):
        try:
            found = await survey(url)
        except EventStoreError:
            continue
        _compare(f"replica {number}", found.connections, processes * settings.pool_size, processes)


def _compare(server: str, allowed: int, wanted: int, processes: int) -> None:
    if wanted > allowed:
        _log.warning(
            "%s has %s for workers, and %d processes open up to %d: raise max_connections, or lower "
            "WORKER_CONCURRENCY or the number of processes",
            server,
            counted(allowed, "connection"),
            processes,
            wanted,
        )
