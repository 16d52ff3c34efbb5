"""What workers report, and what a console makes of it: three of two hosts, one of which is killed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from eventstore.postgres import PostgresEventStore
from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually
from tests.support.serving import serving, settled
from tests.support.tcp_proxy import proxy
from worker.amqp.report_publisher import ReportPublisher
from worker.amqp.report_receiver import ReportReceiver
from worker.console.known_workers import KnownWorkers, WorkerRow
from worker.counters import End
from worker.publisher import Publisher
from worker.reporting.reporter import Reporter, reporting
from worker.service import Service
from worker.settings import Settings

INTERVAL = 0.1


@asynccontextmanager
async def listening(amqp_url: str) -> AsyncIterator[tuple[KnownWorkers, ReportReceiver]]:
    """What a console keeps."""
    known = KnownWorkers()
    receiver = ReportReceiver(amqp_url, known.take)
    receiving = asyncio.create_task(receiver.keep_receiving())
    try:
        yield known, receiver
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        await receiver.close()


def reported(service: Service, amqp_url: str, host: str, **settings: Any) -> Any:
    """Have a worker report."""
    chosen: dict[str, Any] = {"worker_report_interval": INTERVAL} | settings
    # Its goodbye has as long as a busy machine needs.
    return reporting(service, Settings(amqp_url=amqp_url, **chosen), host=host, patience=lambda _: 30.0)


async def holds(known: KnownWorkers, what: str, condition: Callable[[list[WorkerRow]], bool]) -> list[WorkerRow]:
    async def is_so() -> bool:
        return condition(known.rows())

    await eventually(is_so, what=what)
    return known.rows()


async def test_three_workers_of_two_hosts_one_of_which_is_killed(
    store: PostgresEventStore, vhost: str, publisher: Publisher
) -> None:
    async with listening(vhost) as (known, _):
        async with AsyncExitStack() as stack:
            services = [await stack.enter_async_context(serving(store, vhost)) for _ in range(3)]
            for service, host in zip(services[:2], ("alpha", "beta"), strict=True):
                await stack.enter_async_context(reported(service, vhost, host, worker_report_keys="plain"))
            killed = asyncio.create_task(_report_until_killed(services[2], vhost))
            rows = await holds(known, "three workers", lambda rows: len(rows) == 3)
            assert sorted(row.report.host for row in rows) == ["alpha", "alpha", "beta"]
            keys = [f"k{n % 2}" for n in range(12)]
            await asyncio.gather(*(publisher.request("tally", "Count", {"Key": key, "Limit": 9}) for key in keys))

            def accepted(rows: list[WorkerRow]) -> int:
                return sum(row.report.counters["accepted"] for row in rows)

            rows = await holds(known, "twelve answers", lambda rows: accepted(rows) == len(keys))
            assert sum(row.report.counters["conflicts"] for row in rows) == sum(
                each.counters.conflicts for each in services
            )
            assert {domain.name for row in rows for domain in row.report.domains} == {"tally"}
            assert sum(sum(row.report.latency) for row in rows) == len(keys)
            assert all(row.report.ready and row.report.state == "consuming" for row in rows)

            async def is_hot() -> bool:
                return {'["k0"]', '["k1"]'} <= {row.part.key for row in known.hottest()}

            await eventually(is_hot, what="the hot parts to be told")
            killed.cancel()
            await asyncio.gather(killed, return_exceptions=True)

            def one_is_gone(rows: list[WorkerRow]) -> bool:
                # On a busy machine, others may be silent for a moment.
                gone = [row.report.host for row in rows if row.is_gone]
                return gone == ["alpha"] and sorted(row.report.host for row in rows if row.lives) == ["alpha", "beta"]

            await holds(known, "one to be gone", one_is_gone)
            figures = known.figures()
            assert figures is not None
            assert figures.ends[End.DEAD_LETTERED] == 0

        def have_ended(rows: list[WorkerRow]) -> bool:
            return Counter((row.report.ended, row.is_gone) for row in rows) == {(True, False): 2, (False, True): 1}

        # Those that end as they should have said so, and are not gone.
        await holds(known, "the others to say that they end", have_ended)


async def _report_until_killed(service: Service, amqp_url: str) -> None:
    """Report as the others do, until nothing comes from one moment to the next, not even a goodbye."""
    publisher = ReportPublisher(amqp_url)
    try:
        await Reporter(service, publisher.publish, interval=INTERVAL, plain_keys=True, host="alpha").run()
    finally:
        publisher._link.cut()


async def test_a_key_is_hashed_unless_it_is_allowed(
    store: PostgresEventStore, vhost: str, publisher: Publisher
) -> None:
    bodies: list[bytes] = []
    receiver = ReportReceiver(vhost, bodies.append)
    receiving = asyncio.create_task(receiver.keep_receiving())
    async with serving(store, vhost) as service, reported(service, vhost, "alpha"):
        await eventually(partial(_any, bodies), what="a report")
        await publisher.request("tally", "Count", {"Key": "a-secret"})
        await eventually(partial(_any, bodies, b'"commands":1'), what="the part to be told")
    await eventually(partial(_any, bodies, b'"ended":true'), what="the goodbye")
    assert not any(b"a-secret" in body for body in bodies)
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)
    await receiver.close()


async def _any(bodies: list[bytes], text: bytes = b"") -> bool:
    return any(text in body for body in bodies)


async def test_a_worker_that_takes_longer_to_connect_than_its_interval_reports(
    store: PostgresEventStore, vhost: str
) -> None:
    async with proxy(vhost) as way, listening(vhost) as (known, _), serving(store, vhost) as service:
        way.delay = INTERVAL
        async with reported(service, way.url, "far"):
            await holds(known, "a report", lambda rows: len(rows) == 1)


async def test_nothing_is_reported_where_that_is_switched_off(
    store: PostgresEventStore, vhost: str, management: Management
) -> None:
    async with serving(store, vhost) as service, reported(service, vhost, "alpha", worker_report_interval=0.0):
        names = {queue["name"] for queue in management.request("GET", f"/api/exchanges/{vhost.rpartition('/')[2]}")}
    assert "worker.reports" not in names


async def test_both_sides_come_back_after_their_connections_were_lost(
    store: PostgresEventStore, vhost: str, publisher: Publisher
) -> None:
    async with listening(vhost) as (known, receiver), serving(store, vhost) as service:
        async with reported(service, vhost, "alpha"):
            await holds(known, "a report", lambda rows: len(rows) == 1)
            # As a broker that was started again: the exchange is gone with its connections.
            wire = await receiver._link.wire()
            await wire.exchange_delete("worker.reports")
            receiver._link.cut()
            await publisher.request("tally", "Count", {"Key": "a"})
            await holds(known, "reports to come again", lambda rows: rows[0].report.counters["accepted"] == 1)

            async def is_well() -> bool:
                return receiver.trouble is None

            # The first report may come before the receiver knows that it is connected.
            await eventually(is_well, what="the receiver to be well")
        await settled(service, 1)


As = Callable[[str, str, str], str]


@pytest.fixture
def known_as(vhost: str, management: Management) -> Iterator[As]:
    """Returns the address of the virtual host for a user of its own, who may configure, write and read what is said."""
    parts = urlsplit(vhost)
    name = parts.path[1:]
    users: list[str] = []

    def log_in(configure: str, write: str, read: str) -> str:
        users.append(user := f"{name}-{len(users)}")
        management.request("PUT", f"/api/users/{user}", {"password": "of-this-test", "tags": ""})
        rights = {"configure": configure, "write": write, "read": read}
        management.request("PUT", f"/api/permissions/{name}/{user}", rights)
        return parts._replace(netloc=f"{user}:of-this-test@{parts.hostname}:{parts.port}").geturl()

    yield log_in
    for user in users:
        management.request("DELETE", f"/api/users/{user}")


async def test_both_sides_need_no_other_rights_than_those_that_are_documented(
    store: PostgresEventStore, vhost: str, known_as: As
) -> None:
    console = known_as(r"^worker\.(reports|console\..*)$", r"^worker\.console\..*$", r"^worker\.(reports|console\..*)$")
    async with listening(console) as (known, _), serving(store, vhost) as service:
        async with reported(service, known_as(r"^worker\.reports$", r"^worker\.reports$", "^$"), "alpha"):
            await holds(known, "a report", lambda rows: len(rows) == 1)
        # Who may not make the exchange reports where somebody has made it.
        async with reported(service, known_as("^$", r"^worker\.reports$", "^$"), "beta"):
            await holds(known, "another report", lambda rows: len(rows) == 2)


async def test_a_worker_that_may_not_report_works_all_the_same(
    store: PostgresEventStore, vhost: str, known_as: As, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "worker.reporting.reporter")
    async with serving(store, vhost) as service, reported(service, known_as("^$", "^$", "^$"), "alpha"):

        async def is_told() -> bool:
            return any("reports to `worker console` cannot be sent" in message for message in caplog.messages)

        await eventually(is_told, what="it to be told")
        answer = await publisher.request("tally", "Count", {"Key": "a"})
    assert answer.outcome == "accepted"
    assert sum("cannot be sent" in message for message in caplog.messages) == 1
