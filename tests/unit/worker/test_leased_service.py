"""The service of what is done under leases, by parts that do nothing real."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

import pytest

from worker.leased_service import LeasedService
from worker.rounds.watchdog import Watchdog

_LONGEST = 30.0


class _Blocking:
    """A part whose work blocks the loop until that is told."""

    active = 1
    troubles: Sequence[str] = ()
    counts: Mapping[str, int] = {}

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self._log = log

    async def serve(self) -> None:
        deadline = time.monotonic() + _LONGEST
        while not self._log.records and time.monotonic() < deadline:
            pass


async def test_what_blocks_the_loop_is_told_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    watchdog = Watchdog(0.1, effect="its leases are not kept")
    await LeasedService([_Blocking(caplog)], doing="projecting", watchdog=watchdog).serve(asyncio.Event())
    told = caplog.records[0].getMessage()
    assert "the event loop has been blocked for 0.1 s in serve (" in told
    assert told.endswith("nothing else runs, and its leases are not kept")
