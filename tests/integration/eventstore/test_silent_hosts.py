"""Several hosts in one address, of which some neither answer nor refuse: each is dialled with a time of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from eventstore import Consistency, StoreUnavailable
from eventstore.postgres import PostgresEventStore, migrate, survey
from eventstore.postgres.administration.statistics import measure
from eventstore.postgres.connections import statement_watchdog
from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.dialing import Dialer, SessionAttribute, server_of
from tests.integration.eventstore.questions import ANY, counted, keys
from tests.support.fixtures.databases import Database
from tests.support.fixtures.failover import PrimaryAndStandby
from tests.support.fixtures.unresponsive import black_hole, frozen
from tests.support.fixtures.waiting import eventually


def behind(port: int, url: str, **parameters: object) -> str:
    """Put a host on this machine before those in an address, and have each dialled for two seconds."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    query = "&".join(f"{name}={value}" for name, value in {"connect_timeout": 2, **parameters}.items())
    return parts._replace(netloc=f"{login}@127.0.0.1:{port},{hosts}", query=query).geturl()


async def reach(url: str) -> None:
    async with PostgresEventStore.connect(url) as store:
        await store.append([counted("a")])


WAYS: tuple[Callable[[str], Awaitable[object]], ...] = (reach, partial(survey, primary=True), measure, migrate)


@pytest.mark.parametrize("way", WAYS, ids=["store", "survey", "measure", "migrate"])
async def test_a_host_that_drops_everything_does_not_hide_the_next(
    database: Database, way: Callable[[str], Awaitable[object]]
) -> None:
    with black_hole() as port:
        await way(behind(port, database.admin_url))


async def test_a_standby_that_is_named_first_is_passed_over(database: Database) -> None:
    """It answers, and says that it accepts no writes."""
    standby = urlsplit(database.replica_urls[0])
    assert standby.hostname == "127.0.0.1"
    assert standby.port is not None
    await reach(behind(standby.port, database.admin_url))


async def test_of_hosts_that_all_fail_each_is_named_with_its_reason(database: Database) -> None:
    with black_hole() as port, black_hole() as other:
        parts = urlsplit(database.url)
        url = behind(port, parts._replace(netloc=f"{parts.username}@127.0.0.1:{other}").geturl())
        with pytest.raises(StoreUnavailable) as raised:
            await reach(url)
    for each in (port, other):
        assert f"127.0.0.1:{each} did not answer within 2 s" in str(raised.value)


async def test_a_caller_with_less_time_than_a_silent_host_takes_reaches_the_next_when_it_tries_again(
    database: Database,
) -> None:
    with black_hole() as port:
        address = Address.of(behind(port, database.url, connect_timeout=60))
        dialer = Dialer(address, purpose="test", wanted=SessionAttribute.read_write)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await dialer.dial()
        async with asyncio.timeout(30):
            connection = await dialer.dial()
        assert server_of(connection) == Address.of(database.url).servers[0]
        await connection.close()


async def test_an_append_to_a_frozen_primary_is_recorded_by_the_standby_that_was_promoted(
    primary_and_standby: PrimaryAndStandby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement_watchdog, "_PATIENCE_SECONDS", 0.2)
    primary, standby = primary_and_standby
    await migrate(primary.url(primary.admin))
    address = behind(primary.port, standby.url(standby.worker))
    async with (
        PostgresEventStore.connect(address, replica_urls=[standby.url(standby.worker)]) as store,
        PostgresEventStore.connect(address, read_seconds=1.0) as reader,
    ):
        await store.append([counted("kept")])
        await eventually(partial(_replica_has, store, 1), what="the standby to have the event")
        # Several connections, none of which notices anything by itself.
        await asyncio.gather(*(reader.receipts([uuid4()]) for _ in range(5)))
        with frozen(primary):
            await asyncio.to_thread(standby.promote)
            async with asyncio.timeout(60):
                receipt = await store.append([counted("new")], key=uuid4())
                assert (receipt.first, receipt.duplicate) == (2, False)
                assert keys(await store.query(ANY)) == ["kept", "new"]
                # Who reads finds out once, and not once for each connection.
                with pytest.raises(StoreUnavailable, match="did not answer"):
                    await reader.receipts([uuid4()])
                assert list(await reader.receipts([receipt.key or uuid4()])) == [receipt.key]
                # Who comes anew has to find it as well.
                await reach(address)
        # The old primary is awake again. What has found the new one stays there.
        assert (await store.append([counted("newer")])).first == 4


async def _replica_has(store: PostgresEventStore, head: int) -> bool:
    stream = await store.query(ANY, consistency=Consistency.EVENTUAL)
    return stream.replica and stream.position.number == head
