"""Two domains, each with a store of its own: while one store is down, the other domain notices nothing of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.postgres import DATABASE, PostgresServer
from deploy.local.stack import LocalStack
from eventstore import StoreMisconfigured, StoreUnavailable
from eventstore.backoff import Backoff
from eventstore.postgres import PostgresEventStore, migrate
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.integration.worker.outage import without_connections
from tests.integration.worker.probes import answers
from tests.integration.worker.receiver import receiving
from tests.support.amqp_client import AmqpClient
from tests.support.domains.jars import domain as jars
from tests.support.domains.tally import domain as tally
from tests.support.fixtures.administration import execute
from tests.support.fixtures.databases import TENANT, Database
from tests.support.fixtures.ports import free_port
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, serving_stores, settled
from tests.support.worker_process import WorkerProcess
from worker.counters import End
from worker.publisher import Publisher
from worker.service import Service
from worker.settings import Settings
from worker.store_service import OpensStore

BOTH = "tests.support.domains.tally:domain,tests.support.domains.jars:domain"
POISON = {"worker-suspect": True}
PAUSED = "tally: paused until the database answers"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server that nothing else uses, with a migrated database."""
    with LocalStack(replicas=0, broker=False) as stack:
        asyncio.run(migrate(stack.primary.url(stack.primary.admin)))
        yield stack.primary


def opening(url: str) -> OpensStore:
    return lambda: PostgresEventStore.connect(url, pool_size=4)


def address(server: PostgresServer) -> str:
    return server.url(server.worker, DATABASE)


@asynccontextmanager
async def serving_both(server: PostgresServer, database: Database, vhost: str) -> AsyncIterator[Service]:
    stores = [([tally], opening(address(server))), ([jars], opening(database.url))]
    async with serving_stores(stores, vhost, worker_retry_delay=60) as service:
        service._stores[0].breaker._backoff = Backoff(first=0.1, longest=0.2)
        yield service


async def paused(service: Service, **expected: bool) -> None:
    async def are_so() -> bool:
        return service.paused == expected

    await eventually(are_so, what=f"the pauses to be {expected}")


async def count(url: str, event_type: str, schema: str = "eventstore") -> int:
    connection = await asyncpg.connect(url)
    try:
        counting = f"SELECT count(*) FROM {schema}.events WHERE event_type = $1"  # noqa: S608  a constant
        found = await connection.fetchval(counting, event_type)
        return int(found)
    finally:
        await connection.close()


async def dropped(publisher: Publisher, times: int = 1) -> None:
    """Have the jars' domain answer, one command after the other."""
    for _ in range(times):
        assert (await publisher.request("jars", "Drop", {"jar": "a", "coin": 1})).outcome == "accepted"


async def test_one_store_is_stopped_and_the_other_domain_goes_on(
    server: PostgresServer, database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    async with serving_both(server, database, vhost) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        await dropped(publisher)
        await settled(service, 2)
        await asyncio.to_thread(server.stop)
        held = [
            asyncio.create_task(publisher.request("tally", "Count", {"Key": f"k{n}"}, timeout=120)) for n in range(20)
        ]
        await paused(service, tally=True, jars=False)
        await dropped(publisher, 20)
        found = service.health()
        assert (found.live, found.ready, found.reason) == (True, False, PAUSED)
        # What is held costs nobody anything: it is neither retried nor given back.
        await client.holds(QUEUES.queue, 20 - 8)
        # The last answer goes out a moment before its delivery ends.
        await settled(service, 22)
        assert service.counters.ends == {End.ACCEPTED: 22}
        await asyncio.to_thread(server.start)
        assert {(await one).outcome for one in held} == {"accepted"}
        await paused(service, tally=False, jars=False)
        assert service.health().ready
        await settled(service, 42)
        assert service.counters.ends == {End.ACCEPTED: 42}
    assert await count(database.url, "Dropped") == 21
    assert await count(address(server), "Counted") == 21


async def test_a_worker_starts_while_one_store_is_down_and_serves_it_later(
    server: PostgresServer, database: Database, vhost: str, publisher: Publisher
) -> None:
    # So that its queue is there.
    async with serving_both(server, database, vhost):
        pass
    await asyncio.to_thread(server.stop)
    async with serving_both(server, database, vhost) as service:
        assert service.paused == {"tally": True, "jars": False}
        assert service.queues == ["jars.commands"]
        asking = asyncio.create_task(publisher.request("tally", "Count", {"Key": "a"}, timeout=120))
        await dropped(publisher, 5)
        found = service.health()
        assert (found.live, found.ready, found.reason) == (True, False, PAUSED)
        await asyncio.to_thread(server.start)
        assert (await asking).outcome == "accepted"
        await paused(service, tally=False, jars=False)
        assert service.queues == ["tally.commands", "jars.commands"]


async def test_a_worker_that_never_reached_one_store_drains(
    server: PostgresServer, database: Database, vhost: str, publisher: Publisher
) -> None:
    await asyncio.to_thread(server.stop)
    async with serving_both(server, database, vhost):
        await dropped(publisher)


async def test_without_any_store_a_worker_does_not_start(server: PostgresServer, vhost: str) -> None:
    await asyncio.to_thread(server.stop)
    service = Service(
        [([tally], opening(address(server))), ([jars], opening(address(server)))], Settings(amqp_url=vhost)
    )
    with pytest.raises(StoreUnavailable):
        await service.open()
    await service.close()


async def test_a_store_that_cannot_be_used_as_it_is_is_told_though_the_other_can(
    server: PostgresServer, database: Database, vhost: str
) -> None:
    """A mistake does not pass by itself."""
    empty = server.url(server.worker, "postgres")
    service = Service([([tally], opening(empty)), ([jars], opening(database.url))], Settings(amqp_url=vhost))
    with pytest.raises(StoreMisconfigured):
        await service.open()
    await service.close()


async def test_a_long_read_of_one_store_keeps_no_other_waiting(database: Database, vhost: str) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        service = Service(
            [([tally], lambda: nullcontext(store)), ([jars], lambda: nullcontext(store))], Settings(amqp_url=vhost)
        )
        await service.open()
        locks = {
            id(scheduler._reader.long_reads._one_at_a_time) for each in service._stores for scheduler in each.schedulers
        }
        assert len(locks) == 2
        await service.close()


async def test_a_worker_process_says_of_which_domain_the_store_is_down(
    database: Database, other: Database, vhost: str, publisher: Publisher
) -> None:
    port = free_port()
    with receiving("http/protobuf") as receiver:
        variables = {
            "WORKER_DOMAINS": BOTH,
            "DATABASE_URL_JARS": other.url,
            "DATABASE_URL_UNPOOLED": "postgresql://elsewhere/x",
            "WORKER_HEALTH_PORT": str(port),
            **receiver.variables,
        }
        async with WorkerProcess.running(database.url, vhost, **variables) as worker:
            assert "DATABASE_URL_UNPOOLED is for a domain that is not served here, and is ignored" in worker.messages
            await dropped(publisher)
            assert (await publisher.request("tally", "Count", {"Key": "a"})).first == 1
            async with without_connections(database):
                asking = asyncio.create_task(publisher.request("tally", "Count", {"Key": "b"}, timeout=120))
                await worker.logged("tally: paused: ")
                await dropped(publisher)
                await answers(port, live=True, ready=False, reason=PAUSED)

                async def is_told() -> bool:
                    found = receiver.metrics.get("worker.paused")
                    return found is not None and (found.of(domain="tally"), found.of(domain="jars")) == (1, 0)

                await eventually(is_told, what="the metric to say which")
            assert (await asking).outcome == "accepted"
            await worker.logged("tally: resumed")
            await answers(port, live=True, ready=True)
            worker.signal()
            assert await worker.status() == 0
    assert (await count(database.url, "Dropped"), await count(other.url, "Dropped")) == (0, 2)
    assert (await count(database.url, "Counted"), await count(other.url, "Counted")) == (2, 0)


async def test_domains_with_one_address_share_one_store(database: Database, vhost: str, publisher: Publisher) -> None:
    """Its pool is opened once, however the address is written."""
    variables = {
        "WORKER_DOMAINS": BOTH,
        "DATABASE_URL_JARS": database.url.replace("postgresql://", "postgres://"),
        "WORKER_CONCURRENCY": "8",
    }
    async with WorkerProcess.running(database.url, vhost, **variables):
        await dropped(publisher)
        assert (await publisher.request("tally", "Count", {"Key": "a"})).first == 2
        await asyncio.gather(*(dropped(publisher, 3) for _ in range(8)))
        connection = await asyncpg.connect(database.admin_url)
        sessions = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'worker%'",
            database.name,
        )
        await connection.close()
        assert 1 <= sessions <= 4


async def test_domains_have_a_store_each_in_the_schemas_of_one_database(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    await migrate(database.admin_url, schema=TENANT)
    await execute(database.admin_url, f'GRANT {TENANT}_runtime TO "{urlsplit(database.url).username}"')
    variables = {"WORKER_DOMAINS": BOTH, "DATABASE_SCHEMA_JARS": TENANT}
    async with WorkerProcess.running(database.url, vhost, **variables):
        # While nobody can append to one of them, the other's commands are decided, those that are poison, too.
        async with head_locked(database.admin_url):
            asking = asyncio.create_task(publisher.request("tally", "Count", {"Key": "a"}, timeout=120))
            await dropped(publisher)
            asked = await client.put(
                b'{"jar": "a", "coin": 1}',
                message_type="Drop",
                routing_key="jars",
                headers=POISON,
                reply_to=client.replies,
            )
            answer = await client.answer()
            assert (answer["command_id"], answer["outcome"]) == (asked, "accepted")
        assert (await asking).first == 1
    assert (await count(database.url, "Counted"), await count(database.url, "Dropped")) == (1, 0)
    assert (await count(database.url, "Dropped", TENANT), await count(database.url, "Counted", TENANT)) == (2, 0)


async def test_a_store_that_hangs_holds_up_no_poison_message_of_another(
    database: Database, other: Database, vhost: str, client: AmqpClient
) -> None:
    stores = [([tally], opening(database.url)), ([jars], opening(other.url))]
    own = {"DATABASE_URL_JARS": other.url}
    async with serving_stores(
        stores, vhost, database_url=database.url, domain_databases=own, worker_domains=BOTH
    ) as service:
        async with connected(database.admin_url) as admin, head_locked(database.admin_url):
            held = await client.put(b'{"Key": "a"}', headers=POISON, reply_to=client.replies)
            await waiting(admin, 1)
            asked = await client.put(
                b'{"jar": "a", "coin": 1}',
                message_type="Drop",
                routing_key="jars",
                headers=POISON,
                reply_to=client.replies,
            )
            first = await client.answer()
            assert (first["command_id"], first["outcome"]) == (asked, "accepted")
        second = await client.answer()
        assert (second["command_id"], second["outcome"]) == (held, "accepted")
        await settled(service, 2)
