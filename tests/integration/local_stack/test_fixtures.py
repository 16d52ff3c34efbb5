import aio_pika
import asyncpg

from tests.support.fixtures.databases import Database


async def test_a_database_is_migrated_and_its_runtime_role_may_read(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM eventstore.events") == 0
    finally:
        await connection.close()


async def test_a_database_is_on_the_replica_when_the_test_begins(database: Database) -> None:
    for url in database.replica_urls:
        connection = await asyncpg.connect(url)
        try:
            assert await connection.fetchval("SELECT pg_is_in_recovery()")
        finally:
            await connection.close()


async def test_a_virtual_host_takes_and_gives_messages(vhost: str) -> None:
    connection = await aio_pika.connect(vhost)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue("letters")
        await channel.default_exchange.publish(aio_pika.Message(b"hello"), "letters")
        message = await queue.get()
        await message.ack()
        assert message.body == b"hello"
