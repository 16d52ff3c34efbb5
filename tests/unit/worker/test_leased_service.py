"""The service of leased work, with stand-ins for the work."""

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence

from worker.leased_service import LeasedService
from worker.rounds.watchdog import Watchdog

_LONGEST = 30.0


class _Blocking(logging.Handler):
    """Work that blocks the event loop until the block is reported."""

    active = 1
    troubles: Sequence[str] = ()
    counts: Mapping[str, int] = {}
    told: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.told = record.getMessage()

    async def serve(self) -> None:
        # It calls nothing: the reported location is in this function.
        while self.told is None:
            pass


async def test_blocking_the_event_loop_is_reported_with_its_location() -> None:
    blocking = _Blocking()
    given_up = threading.Timer(_LONGEST, blocking.emit, [logging.makeLogRecord({})])
    given_up.start()
    log = logging.getLogger("worker.rounds.watchdog")
    log.addHandler(blocking)
    try:
        watchdog = Watchdog(0.1, effect="its leases are not renewed")
        await LeasedService([blocking], doing="projecting", watchdog=watchdog).serve(asyncio.Event())
    finally:
        log.removeHandler(blocking)
        given_up.cancel()
    assert blocking.told is not None
    assert "the event loop has been blocked for 0.1 s in serve (" in blocking.told
    assert blocking.told.endswith("nothing else runs, and its leases are not renewed")
