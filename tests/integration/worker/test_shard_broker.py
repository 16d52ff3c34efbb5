"""A broker that cannot have shards is told what to enable; one that starts again is consumed again."""

import asyncio
from collections.abc import Iterator

import aio_pika
import pytest

from deploy.local.broker import RabbitServer
from eventstore.postgres import PostgresEventStore
from tests.integration.worker.shards import DOMAIN, SHARDED, all_consumed, counts, decided
from tests.support.domains.sharded import domain
from tests.support.fixtures.brokers import RabbitInTurn, running
from tests.support.serving import consuming, serving_domain
from worker.amqp.declaration import declare
from worker.cli.inspection import inspect
from worker.errors import BrokerMisconfigured
from worker.publisher import Publisher
from worker.settings import Settings

KEYS = [f"k{n}" for n in range(8)]
TOLD = (
    "RabbitMQ lacks the plugin that spreads commands over shards: run `rabbitmq-plugins enable "
    "rabbitmq_consistent_hash_exchange` on each of its nodes"
)


class WithoutPlugin(RabbitServer):
    """A broker as its package installs it, but for the management page."""

    plugins = ("rabbitmq_management",)


@pytest.fixture
def bare() -> Iterator[RabbitServer]:
    with running(WithoutPlugin) as server:
        yield server


async def test_a_broker_without_the_plugin_is_told_in_a_sentence(bare: RabbitServer) -> None:
    connection = await aio_pika.connect(bare.url)
    async with connection:
        with pytest.raises(BrokerMisconfigured) as refused:
            await declare(await connection.channel(), SHARDED)
    assert str(refused.value) == TOLD
    found = await inspect(Settings(amqp_url=bare.url, worker_domains=DOMAIN))
    (broker,) = (each for each in found if each.part.startswith("broker"))
    assert (broker.good, broker.text) == (False, f"{TOLD}.")


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_shards_are_consumed_again_when_the_broker_has_started_again(
    breakable_broker: RabbitInTurn, store: PostgresEventStore, end: str
) -> None:
    """Also right after they were made, when a broker that is killed has not noted all of it."""
    broker = breakable_broker
    async with serving_domain(domain, store, broker.url, worker_concurrency=1) as service:
        async with Publisher.connect(broker.url) as publisher:
            sent = await counts(publisher, KEYS, each=5)
        await asyncio.to_thread(getattr(broker, end))
        await asyncio.to_thread(broker.start)
        await all_consumed(broker.url)
        await consuming(service)
        async with Publisher.connect(broker.url) as publisher:
            sent |= await counts(publisher, [f"again {key}" for key in KEYS], each=5)
        await decided(store, sent)
