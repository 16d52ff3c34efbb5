"""A publisher in a program: ids to send again by, no logs but the program's own, and ``await`` as in a notebook."""

import asyncio
import logging
import os
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import aio_pika
import pytest

from eventstore import Event, StoreMisconfigured
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected
from tests.integration.worker.receiver import receiving
from tests.support.amqp_client import AmqpClient
from tests.support.connections import close_connections
from tests.support.fixtures.administration import Connection, on
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import CONFIRMATION, proxy
from worker.errors import BrokerUnavailable, NoReply, Unroutable
from worker.publisher import Publisher

_ROOT = Path(__file__).resolve().parents[3]
# Long enough to connect and to have a command stored, also on a busy machine.
_STORED_SECONDS = 3.0
_PROGRAM = """
import asyncio, os
from worker import Publisher

async def main():
    async with Publisher.connect(os.environ["AMQP_URL"]) as publisher:
        print(await publisher.publish("tally", "Count", {"Key": "a"}))

asyncio.run(main())
"""


@pytest.fixture
async def queue(client: AmqpClient) -> str:
    """Where commands for the domain end up, without a worker that takes them."""
    await client.channel.declare_exchange("commands", "direct", durable=True)
    queue = await client.channel.declare_queue("taken", durable=True, arguments={"x-queue-type": "classic"})
    await queue.bind("commands", "tally")
    return queue.name


async def test_a_command_whose_confirmation_is_lost_is_sent_again_with_the_id_that_was_made_for_it(
    vhost: str, publisher: Publisher, client: AmqpClient, queue: str
) -> None:
    async with proxy(vhost) as way, Publisher.connect(way.url) as cut_off:
        way.drops = CONFIRMATION
        with pytest.raises(BrokerUnavailable) as raised:
            await cut_off.publish("tally", "Count", {"Key": "a"}, timeout=0.5)
    made = raised.value.command_id
    assert made is not None
    assert (await client.take(queue)).message_id == str(made)
    assert await publisher.publish("tally", "Count", {"Key": "a"}, command_id=made) == made
    assert (await client.take(queue)).message_id == str(made)


async def test_whatever_is_raised_names_the_command(vhost: str, client: AmqpClient, queue: str) -> None:
    async with proxy(vhost) as way, Publisher.connect(way.url) as publisher:
        with pytest.raises(NoReply) as unanswered:
            await publisher.request("tally", "Count", {"Key": "a"}, timeout=_STORED_SECONDS)
        assert str(unanswered.value.command_id) == (await client.take(queue)).message_id
        with pytest.raises(Unroutable) as unroutable:
            await publisher.publish("nobody", "Count", {"Key": "a"})
        assert unroutable.value.command_id is not None
        way.stop()
        with pytest.raises(BrokerUnavailable) as lost:
            await publisher.request("tally", "Count", {"Key": "a"}, timeout=0.3)
        assert lost.value.command_id is not None
        with pytest.raises(BrokerUnavailable) as known:
            await publisher.publish("tally", "Count", {"Key": "a"}, command_id=unanswered.value.command_id, timeout=0.3)
        assert known.value.command_id == unanswered.value.command_id


async def test_a_broker_that_goes_away_does_not_write_into_the_programs_log(
    vhost: str, management: Management, client: AmqpClient, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("aiormq.connection", "aiormq.channel", "aio_pika"):
        caplog.set_level(logging.WARNING, logger=name)
    async with proxy(vhost) as way, Publisher.connect(way.url, name="ours") as publisher:
        # The connection for replies, too.
        with pytest.raises(NoReply):
            await publisher.request("tally", "Count", {"Key": "a"}, timeout=_STORED_SECONDS)
        await client.take(queue)
        caplog.clear()
        await close_connections(management, vhost, "ours", "ours-replies")
        await _stored(publisher)
        way.stop()
        with pytest.raises(BrokerUnavailable):
            await publisher.request("tally", "Count", {"Key": "c"}, timeout=0.3)
        await way.start()
        await _stored(publisher)
    assert [record.getMessage() for record in caplog.records] == []


async def test_other_connections_of_the_program_keep_their_log(
    vhost: str, management: Management, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="aiormq.connection")
    async with Publisher.connect(vhost):
        connection = await aio_pika.connect(vhost, client_properties={"connection_name": "theirs"})
        await close_connections(management, vhost, "theirs")

        async def is_told() -> bool:
            return any("Unexpected connection close" in record.getMessage() for record in caplog.records)

        await eventually(is_told, what="the library to tell of its connection")
        await connection.close()


@pytest.mark.usefixtures("queue")
async def test_a_program_has_its_publish_span_with_the_lines_of_the_documentation(vhost: str) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", (_ROOT / "docs" / "telemetry.md").read_text(), re.DOTALL)
    with receiving("grpc") as receiver:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", lines + _PROGRAM),
            env={"PATH": os.environ["PATH"], "AMQP_URL": vhost, **receiver.variables},
            cwd=_ROOT,
            stdout=PIPE,
        )
        try:
            output, _ = await asyncio.wait_for(program.communicate(), 60)
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()
        (span,) = await receiver.named("publish commands:tally", 1)
    assert span.attributes["messaging.message.id"] == output.decode().strip()


async def test_a_publisher_can_be_awaited_and_closed_elsewhere(vhost: str, client: AmqpClient, queue: str) -> None:
    # Each cell of a notebook is a task of its own.
    publisher = await asyncio.create_task(_publisher(vhost))
    command_id = await asyncio.create_task(publisher.publish("tally", "Count", {"Key": "a"}))
    assert (await client.take(queue)).message_id == str(command_id)
    await asyncio.create_task(publisher.close())
    await publisher.close()
    with pytest.raises(BrokerUnavailable, match="closed"):
        await publisher.publish("tally", "Count", {"Key": "a"})


async def test_a_store_can_be_awaited_and_closed_elsewhere(database: Database) -> None:
    store = await asyncio.create_task(_store(database))
    await asyncio.create_task(store.append([Event(type="Opened", payload={})]))
    async with connected(database.admin_url) as admin:
        assert await _connections(admin) > 0
        await asyncio.create_task(store.close())

        async def are_gone() -> bool:
            return await _connections(admin) == 0

        await eventually(are_gone, what="the store's connections to be gone")
    await store.close()


async def test_a_store_that_cannot_be_opened_says_why_when_it_is_awaited(database: Database) -> None:
    with pytest.raises(StoreMisconfigured):
        await PostgresEventStore.connect(on(database.url, "nowhere"))


async def _stored(publisher: Publisher) -> None:
    """Publish a command, however often it takes."""

    async def is_stored() -> bool:
        try:
            await publisher.publish("tally", "Count", {"Key": "b"})
        except BrokerUnavailable:
            return False
        return True

    await eventually(is_stored, what="a command to be stored")


async def _publisher(vhost: str) -> Publisher:
    return await Publisher.connect(vhost)


async def _store(database: Database) -> PostgresEventStore:
    return await PostgresEventStore.connect(
        database.url, replica_urls=database.replica_urls, application_name="notebook"
    )


async def _connections(admin: Connection) -> int:
    found = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ 'notebook'"
    return int(await admin.fetchval(found))
