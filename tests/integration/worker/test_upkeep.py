"""What is deleted while workers run: they are notified of nothing, look from time to time, and declare it again."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from eventstore.postgres import PostgresEventStore
from handlers import Domain
from tests.integration.schedule.scheduling import TALLY as SCHEDULED
from tests.integration.schedule.scheduling import scheduling, waits
from tests.support.amqp_client import AmqpClient
from tests.support.domains.sharded import domain as sharded
from tests.support.domains.tally import domain as tally
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import consuming, serving_domain, settled
from worker.amqp import upkeep
from worker.amqp.sender import Sender
from worker.errors import BrokerError, BrokerMisconfigured, BrokerUnavailable, Unroutable
from worker.publisher import Publisher
from worker.topology import EXCHANGE, Topology


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers look all the time."""
    monkeypatch.setattr(upkeep, "_LONGEST_REST", 0.02)


async def lose(client: AmqpClient, topology: Topology, lost: str) -> None:
    channel = client.channel
    if lost != "binding":
        await channel.exchange_delete(topology.exchange if lost == "exchange" else topology.shard_exchange)
    elif topology.shards is None:
        await (await channel.get_queue(topology.queue, ensure=False)).unbind(EXCHANGE, topology.routing_key)
    else:
        shards = await channel.get_exchange(topology.shard_exchange, ensure=False)
        await shards.unbind(EXCHANGE, topology.routing_key)


@pytest.mark.parametrize(
    "way",
    [
        (tally, "exchange"),
        (tally, "binding"),
        (sharded, "exchange"),
        (sharded, "binding"),
        (sharded, "exchange of shards"),
    ],
    ids=["exchange", "binding", "exchange-sharded", "binding-sharded", "exchange-of-shards"],
)
async def test_commands_reach_running_workers_again_after_their_way_was_deleted(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher, way: tuple[Domain, str]
) -> None:
    domain, lost = way
    async with serving_domain(domain, store, vhost) as service:
        await consuming(service)
        await lose(client, Topology.of(domain), lost)

        async def arrives() -> bool:
            with suppress(Unroutable):
                await publisher.publish("tally", "Count", {"Key": "a"}, affinity_key="a")
                return True
            return False

        await eventually(arrives, what="the way of commands to be there again")
        await settled(service, 1)
        # No connection broke: nobody else would have declared it.
        assert service.health().reason == "consuming"


async def test_commands_can_be_scheduled_again_after_their_way_was_deleted(
    database: Database, vhost: str, client: AmqpClient, publisher: Publisher
) -> None:
    async with scheduling(database.url, vhost):
        await publisher.schedule("tally", "Count", {"Key": "a"}, timedelta(hours=1))
        await waits(database.admin_url, 1)
        await lose(client, SCHEDULED, "exchange")

        async def arrives() -> bool:
            with suppress(Unroutable):
                await publisher.schedule("tally", "Count", {"Key": "b"}, timedelta(hours=1))
                return True
            return False

        await eventually(arrives, what="the way of commands to be there again")
        await waits(database.admin_url, 2)


async def test_each_reason_is_logged_once_and_a_lost_connection_is_left_to_consumers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[tuple[str, ...] | BrokerError] = [
        BrokerUnavailable("gone"),
        BrokerMisconfigured("commands of domain tally cannot be made"),
        BrokerMisconfigured("commands of domain tally cannot be made"),
        ("commands",),
        (),
        BrokerMisconfigured("commands of domain tally cannot be made"),
    ]
    done = asyncio.Event()

    async def declare(_: Sender, topology: Topology, timeout: float | None = 5.0) -> tuple[str, ...]:  # noqa: ASYNC109  the sender's
        # A check that is given up would lose the connection on which copies wait for their confirmations.
        assert (topology, timeout) == (Topology("tally"), None)
        if not answers:
            done.set()
            await asyncio.Event().wait()
        answer = answers.pop(0)
        if isinstance(answer, BrokerError):
            raise answer
        return answer

    monkeypatch.setattr(Sender, "declare", declare)
    keeping = asyncio.create_task(upkeep.keep_declared(Sender("amqp://localhost/", name="a test"), Topology("tally")))
    async with asyncio.timeout(60):
        await done.wait()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert [(record.levelname, record.getMessage()) for record in caplog.records if "upkeep" in record.name] == [
        ("ERROR", "commands of domain tally cannot be made"),
        ("WARNING", "declared again, as it had been deleted: commands"),
        ("ERROR", "commands of domain tally cannot be made"),
    ]
