"""What the servers of a stack do, and that they come back after a crash."""

import os
import signal

import aio_pika
import asyncpg
import pytest

from deploy.local.errors import StackError
from deploy.local.reaper import descendants
from deploy.local.server import until
from deploy.local.stack import LocalStack
from tests.support.fixtures.failover import PrimaryAndStandby


def test_the_replica_streams_from_the_primary(stack: LocalStack) -> None:
    (replica,) = stack.replicas
    stack.primary.query("CREATE TABLE letter (text text); INSERT INTO letter VALUES ('hello')")
    standbys = "SELECT application_name, state FROM pg_stat_replication"
    # Another test may just have started the primary again.
    until(lambda: stack.primary.query(standbys) == "replica-1|streaming", 60, "the replica to connect")
    until(lambda: replica.query("SELECT to_regclass('letter') IS NOT NULL") == "t", 60, "the table on the replica")
    until(lambda: replica.query("SELECT text FROM letter") == "hello", 60, "the row on the replica")
    assert replica.query("SELECT pg_is_in_recovery()") == "t"


def test_nothing_is_given_up_for_speed(stack: LocalStack) -> None:
    for server in (stack.primary, *stack.replicas):
        assert server.query("SHOW fsync") == "on"
        assert server.query("SHOW synchronous_commit") == "on"
        assert server.query("SHOW full_page_writes") == "on"


async def test_the_worker_role_has_no_rights_but_its_groups(stack: LocalStack) -> None:
    connection = await asyncpg.connect(stack.environment()["DATABASE_URL"])
    try:
        assert await connection.fetchval("SELECT pg_has_role('eventstore_runtime', 'member')")
        special = "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
        assert not await connection.fetchval(f"SELECT {special} FROM pg_roles WHERE rolname = current_user")  # noqa: S608  a constant
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE mine ()")
    finally:
        await connection.close()


async def test_a_wrong_password_is_refused(stack: LocalStack) -> None:
    url = stack.environment()["DATABASE_URL"].replace(stack.primary.worker.password, "guessed")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


async def test_a_server_that_is_killed_is_killed_whole(stack: LocalStack) -> None:
    connection = await asyncpg.connect(stack.primary.url(stack.primary.admin, "postgres"))
    try:
        # A session that does not notice the end of the first process, as if it were busy.
        session = await connection.fetchval("SELECT pg_backend_pid()")
        os.kill(session, signal.SIGSTOP)
        family = descendants(stack.primary.pid)
        assert session in family
        stack.primary.kill()
        assert family.isdisjoint(descendants(1))
    finally:
        connection.terminate()
    stack.primary.start()
    assert stack.primary.query("SELECT 1") == "1"


def test_a_killed_primary_comes_back_under_its_address_with_its_data(stack: LocalStack) -> None:
    stack.primary.query("CREATE TABLE kept (number int); INSERT INTO kept VALUES (1)")
    address, pid = stack.environment()["DATABASE_URL"], stack.primary.pid
    stack.primary.kill()
    assert not stack.primary.is_running
    with pytest.raises(StackError, match="refused"):
        stack.primary.query("SELECT 1")
    stack.primary.start()
    assert stack.primary.pid != pid
    assert stack.environment()["DATABASE_URL"] == address
    assert stack.primary.query("SELECT number FROM kept") == "1"
    query = "SELECT state FROM pg_stat_replication"
    until(lambda: stack.primary.query(query) == "streaming", 60, "the replica to stream again")


async def test_a_killed_broker_comes_back_with_its_durable_messages(stack: LocalStack) -> None:
    url = stack.broker.url
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
        letter = aio_pika.Message(b"hello", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(letter, "kept")
    # RabbitMQ writes the name of a new quorum queue down half a second later, and never finds it again without.
    until(lambda: any(b"kept" in names.read_bytes() for names in stack.folder.rglob("names.dets")), 60, "the name")
    stack.broker.kill()
    stack.broker.start()
    assert stack.broker.url == url
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        queue = await channel.get_queue("kept")
        # Consumed, not fetched: the queue may still be choosing its leader.
        async with queue.iterator(timeout=60) as messages:
            async for message in messages:
                await message.ack()
                assert message.body == b"hello"
                break


def test_a_standby_is_promoted_without_the_event_it_never_received(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    primary.query("CREATE TABLE event (number int); INSERT INTO event VALUES (1)")
    position = primary.query("SELECT pg_current_wal_lsn()")
    reached = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
    until(lambda: standby.query(reached) == "t", 60, "the standby to have the first event")
    standby.stop()
    primary.query("INSERT INTO event VALUES (2)")
    primary.kill()
    standby.start()
    standby.promote()
    standby.query("INSERT INTO event VALUES (3)")
    assert standby.query("SELECT string_agg(number::text, ',' ORDER BY number) FROM event") == "1,3"
