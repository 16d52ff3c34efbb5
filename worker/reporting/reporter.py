"""The reporter: publishes a worker process's report every few seconds, without delaying its work."""

import asyncio
import heapq
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from worker import __version__
from worker.amqp.report_publisher import ReportPublisher
from worker.counters import Counters
from worker.errors import BrokerError, BrokerMisconfigured
from worker.reporting.latency import BOUNDS
from worker.reporting.report import DomainReport, PartReport, Report, encode, hashed
from worker.rounds.hot_parts import HotPart
from worker.settings import Settings
from worker.supervision.health import Health

__all__ = ["Reported", "Reporter", "reporting"]

_log = logging.getLogger(__name__)

_MOST_PARTS = 10
_MOST_KEY = 200
_MOST_STATE = 300
# How long sending a report may take, or the interval if that is longer. Opening a connection may take longer than a
# short interval: if each report began it anew, none would ever be sent.
_SEND_SECONDS = 10.0
# What a person has to change is not tried again every two seconds.
_REFUSED_SECONDS = 30.0
# The time for the last report after the drain, and the same again for closing the connection.
_LAST_SECONDS = 0.5


class Reported(Protocol):
    """What reports are made of."""

    counters: Counters

    @property
    def domains(self) -> Sequence[DomainReport]:
        """Return the domains that are served."""

    def health(self) -> Health:
        """Return the health of the process."""

    def take_hottest(self, most: int) -> list[tuple[str, HotPart]]:
        """Return the hottest parts of each domain since the last call, up to ``most``, with the domain's name."""


class Reporter:
    """Makes a process's reports, and publishes them. A report that cannot be published is dropped.

    Args:
        reported: Supplies the figures, health, domains and parts.
        publish: Publishes a report's body; raises a ``BrokerError`` if it cannot.
        interval: Seconds between two reports.
        plain_keys: Whether keys of parts are reported unhashed.
        host: The host's name; by default that of this machine.
    """

    def __init__(
        self,
        reported: Reported,
        publish: Callable[[bytes], Awaitable[None]],
        *,
        interval: float,
        plain_keys: bool = False,
        host: str | None = None,
    ) -> None:
        self._reported = reported
        self._publish = publish
        self._interval = interval
        self._plain_keys = plain_keys
        self._worker = uuid4().hex
        self._host = host or socket.gethostname() or "unknown"
        self._started_at = datetime.now(UTC)
        self._watched_since = asyncio.get_running_loop().time()
        self._told: str | None = None

    def report(self, *, ended: bool = False) -> Report:
        """Make a report. Its parts are those counted since the previous one."""
        now = asyncio.get_running_loop().time()
        seconds, self._watched_since = max(now - self._watched_since, 0.001), now
        health = self._reported.health()
        hot = heapq.nlargest(_MOST_PARTS, self._reported.take_hottest(_MOST_PARTS), key=lambda found: found[1].heat)
        return Report(
            worker=self._worker,
            host=self._host,
            pid=os.getpid(),
            version=__version__,
            started_at=self._started_at,
            interval=self._interval,
            ready=health.ready and not ended,
            state="stopped" if ended else health.reason[:_MOST_STATE],
            ended=ended,
            domains=tuple(self._reported.domains),
            counters=self._reported.counters.report(),
            bounds=BOUNDS,
            latency=tuple(self._reported.counters.latency.counts),
            seconds=seconds,
            parts=tuple(self._part(domain, each) for domain, each in hot),
        )

    async def run(self) -> None:
        """Publish a report now, and one after each interval, until it is cancelled."""
        clock = asyncio.get_running_loop().time
        # Parts are counted from now on.
        self._reported.take_hottest(0)
        not_before = clock()
        while True:
            body = encode(self.report())
            if clock() >= not_before and not await self._has_published(body):
                not_before = clock() + _REFUSED_SECONDS
            await asyncio.sleep(self._interval)

    async def say_goodbye(self, seconds: float = _LAST_SECONDS) -> None:
        """Publish the last report, if that takes no longer than this many seconds."""
        with suppress(BrokerError, TimeoutError):
            async with asyncio.timeout(seconds):
                await self._publish(encode(self.report(ended=True)))

    async def _has_published(self, body: bytes) -> bool:
        """Publish a body. Return False if it was refused and should not be tried again soon; otherwise True."""
        try:
            async with asyncio.timeout(max(self._interval, _SEND_SECONDS)):
                await self._publish(body)
        except TimeoutError:
            return True  # other parts of the worker report a broker that is down or reads nothing
        except BrokerError as error:
            if self._told != (told := str(error)):
                self._told = told
                _log.info(
                    "reports to `worker console` cannot be sent (%s); docs/console.md names the rights that they "
                    "need, and WORKER_REPORT_INTERVAL=0 turns them off",
                    error,
                )
            return not isinstance(error, BrokerMisconfigured)
        self._told = None
        return True

    def _part(self, domain: str, hot: HotPart) -> PartReport:
        key = hot.key if self._plain_keys and len(hot.key) <= _MOST_KEY else hashed(hot.key)
        return PartReport(
            domain=domain,
            view=hot.view,
            key=key,
            hashed=key != hot.key,
            commands=hot.commands,
            conflicts=hot.conflicts,
        )


@asynccontextmanager
async def reporting(
    reported: Reported, settings: Settings, *, host: str | None = None, patience: Callable[[float], float] = float
) -> AsyncIterator[None]:
    """Report inside the ``async with``, unless the settings turn reports off.

    Args:
        reported: Supplies the figures, health, domains and parts.
        settings: The worker's settings: broker, interval, form of keys.
        host: The host's name; by default that of this machine.
        patience: Called with a number of seconds; returns how many of them the end may take.
    """
    if not settings.worker_report_interval:
        yield
        return
    publisher = ReportPublisher(settings.amqp_url)
    reporter = Reporter(
        reported,
        publisher.publish,
        interval=settings.worker_report_interval,
        plain_keys=settings.worker_report_keys == "plain",
        host=host,
    )
    running = asyncio.create_task(reporter.run(), name="reports")
    running.add_done_callback(_tell)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await reporter.say_goodbye(patience(_LAST_SECONDS))
        await publisher.close(patience(_LAST_SECONDS))


def _tell(running: asyncio.Task[None]) -> None:
    if not running.cancelled() and (bug := running.exception()) is not None:
        _log.error("reports to `worker console` have stopped", exc_info=bug)
