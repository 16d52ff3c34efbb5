"""A broker that is short of memory: what follows the log waits, says so, and leaves nothing out."""

import asyncio

import pytest

from eventstore.postgres import PostgresEventStore
from tests.integration.reading.bell_tower import passed, queues, ring, rung, sending, taken
from tests.support.amqp_client import AmqpClient
from tests.support.domains.bells import aloud, bells, tolling
from tests.support.fixtures.brokers import RabbitInTurn
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from worker.leased_service import LeasedService
from worker.reading import reaction_sink, relay_sink
from worker.topology import events_exchange

_RINGS = 30


async def test_what_happens_meanwhile_is_sent_when_the_alarm_is_over(
    breakable_broker: RabbitInTurn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sink in (reaction_sink, relay_sink):
        monkeypatch.setattr(sink, "_SEND_SECONDS", 1.0)

    async def use_memory(share: str) -> None:
        await asyncio.to_thread(breakable_broker.use_memory, share)

    domain = bells(reactions=(tolling,), relays=(aloud,))
    async with PostgresEventStore.connect(database.url) as store, AmqpClient.open(breakable_broker.url) as client:
        await queues(client)
        first = await ring(store, "first")
        async with sending(database.url, breakable_broker.url, domain) as coordinator:
            for name in ("tolling", "aloud"):
                await passed(database.admin_url, first, name=name)
            heard = await client.channel.declare_queue("heard")
            await heard.bind(events_exchange("bells"), "#")
            health = LeasedService([coordinator], doing="following").health
            await use_memory("0.0000001")
            try:
                last = (await store.append([rung(str(number)) for number in range(_RINGS)])).position

                async def are_told() -> bool:
                    return all(name in health().reason for name in ("bells.tolling: ", "bells.aloud: "))

                await eventually(are_told, what="both to say that they wait")
                assert not health().ready
            finally:
                await use_memory("0.9")
            for name in ("tolling", "aloud"):
                await passed(database.admin_url, last, name=name)
            assert not any(run.failure for run in coordinator.running.values())
        commands = dict(await taken(client))
        assert sorted(commands.values()) == sorted(f'{{"Bell":"{name}"}}' for name in ("first", *range(_RINGS)))
        numbers = [int(str((await client.take("heard")).message_id)) for _ in range(await client.ready("heard"))]
        # In order, each once or more.
        assert list(dict.fromkeys(numbers)) == list(range(2, _RINGS + 2))
