import asyncio
import logging
from collections.abc import Sequence

import pytest

from tests.support.fixtures.waiting import eventually
from worker.counters import Counters, End
from worker.errors import BrokerMisconfigured, BrokerUnavailable
from worker.reporting.report import DomainReport, Report, hashed, read_report
from worker.reporting.reporter import Reporter
from worker.rounds.hot_parts import HotPart
from worker.supervision.health import Health


class Worker:
    """A stand-in for the service."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.hot: list[tuple[str, HotPart]] = []
        self.others: list[tuple[str, HotPart]] = []
        self.domains: Sequence[DomainReport] = [DomainReport(name="library")]

    def health(self) -> Health:
        return Health(live=True, ready=False, reason="x" * 1000)

    def take_hottest(self, most: int) -> list[tuple[str, HotPart]]:
        taken, self.hot = self.hot[:most], []
        return taken + self.others


class Broker:
    """Records what is published, or raises a given error."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.tried = 0
        self.failure: Exception | None = None

    async def publish(self, body: bytes) -> None:
        self.tried += 1
        if self.failure is not None:
            raise self.failure
        self.reports.append(read_report(body))

    async def has(self, count: int) -> None:
        async def there() -> bool:
            return len(self.reports) >= count

        await eventually(there, what=f"{count} reports")


def hot(key: str, *, commands: int = 1, conflicts: int = 0) -> tuple[str, HotPart]:
    return "library", HotPart(view="book", key=key, commands=commands, conflicts=conflicts)


async def test_a_report_has_counters_and_no_keys() -> None:
    worker, broker = Worker(), Broker()
    worker.counters.begin()
    worker.counters.end(End.ACCEPTED, "LendBookCopyToReader")
    worker.counters.latency.record(0.004)
    worker.hot = [hot('["b1"]', commands=7, conflicts=2)]
    made = Reporter(worker, broker.publish, interval=2.0, host="alpha").report()
    assert (made.host, made.ready, made.ended, len(made.state)) == ("alpha", False, False, 300)
    assert (made.counters["received"], made.counters["accepted"], sum(made.latency)) == (1, 1, 1)
    (part,) = made.parts
    assert (part.key, part.hashed, part.commands, part.conflicts) == (hashed('["b1"]'), True, 7, 2)


async def test_short_keys_are_reported_if_allowed() -> None:
    worker = Worker()
    worker.hot = [hot('["b1"]'), hot("x" * 201)]
    made = Reporter(worker, Broker().publish, interval=2.0, plain_keys=True).report()
    assert [(part.key, part.hashed) for part in made.parts] == [('["b1"]', False), (hashed("x" * 201), True)]


async def test_the_ten_hottest_parts_of_all_domains_are_reported() -> None:
    worker = Worker()
    made = Reporter(worker, Broker().publish, interval=2.0, plain_keys=True)
    # A conflict weighs as much as ten commands. Each domain contributes its own ten.
    worker.hot = [hot(f"k{n}", commands=n) for n in range(1, 10)]
    worker.others = [hot("c", commands=1, conflicts=1), hot("d", commands=30)]
    assert [part.key for part in made.report().parts] == ["d", "c", *(f"k{n}" for n in range(9, 1, -1))]


async def test_reports_are_sent_at_intervals_and_a_last_one_at_the_end() -> None:
    broker = Broker()
    reporter = Reporter(Worker(), broker.publish, interval=0.01)
    running = asyncio.create_task(reporter.run())
    await broker.has(3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await reporter.say_goodbye()
    *before, last = broker.reports
    assert not any(each.ended for each in before)
    assert (last.ended, last.ready, last.state) == (True, False, "stopped")
    assert len({each.worker for each in broker.reports}) == 1


async def test_an_unreachable_broker_is_retried_and_a_refusal_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "worker.reporting.reporter")
    worker, broker = Worker(), Broker()
    broker.failure = BrokerUnavailable("RabbitMQ is away")
    reporter = Reporter(worker, broker.publish, interval=0.01)
    running = asyncio.create_task(reporter.run())

    async def tried_again() -> bool:
        return broker.tried >= 3

    await eventually(tried_again, what="a retry")
    broker.failure = BrokerMisconfigured("RabbitMQ refuses: access to exchange 'worker.reports'")

    async def is_logged() -> bool:
        return len(caplog.messages) == 2

    await eventually(is_logged, what="the log line of the refusal")
    tried = broker.tried
    worker.hot = [hot("a")]

    async def goes_on() -> bool:
        return not worker.hot

    # A refusal is not retried at once; hot parts are still taken, so that they do not accumulate.
    await eventually(goes_on, what="the next report")
    assert (broker.tried, running.done()) == (tried, False)
    assert "access to exchange 'worker.reports'" in caplog.messages[1]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_last_report_does_not_wait_for_the_broker() -> None:
    async def hangs(_: bytes) -> None:
        await asyncio.Event().wait()

    await Reporter(Worker(), hangs, interval=2.0).say_goodbye(0.01)
