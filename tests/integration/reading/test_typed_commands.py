"""Followers as people run and administer them: by the commands that they type."""

from eventstore.postgres import PostgresEventStore
from tests.integration.reading.bell_tower import BELLS, passed, ring
from tests.integration.reading.projecting import Projecting, book, check_balances, reached, rows, told
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

NOW = "SELECT follower_id, paused_at IS NOT NULL FROM reading.followers WHERE name = 'balances' AND is_current"


async def test_a_projection_is_paused_resumed_and_rebuilt(database: Database) -> None:
    async def typed(*arguments: str) -> str:
        status, output, errors = await told("projections", *arguments, url=database.url)
        assert (status, errors) == (0, "")
        return output

    async with PostgresEventStore.connect(database.url) as store, Projecting.running(database.url):
        await reached(database.url, await book(store, "a", "b"))
        assert await typed("pause", "balances") == "ledger.balances is paused.\n"
        assert await rows(database.admin_url, NOW) == [(1, True)]
        assert "paused" in await typed("list")
        at = await book(store, "a")
        assert await typed("resume", "balances") == "ledger.balances continues.\n"
        await reached(database.url, at)
        assert await typed("rebuild", "balances", "--yes") == "The rebuild of ledger.balances has begun.\n"

        async def is_replaced() -> bool:
            return await rows(database.admin_url, NOW) == [(2, False)]

        await eventually(is_replaced, what="the new build to take the place of the old one")
        await reached(database.url, await book(store, "b"))
        await check_balances(database.url)


async def test_a_relay_is_run_by_name(database: Database, vhost: str, store: PostgresEventStore) -> None:
    given = {"command": "relay", "doing": "relaying", "AMQP_URL": vhost, "WORKER_DOMAINS": BELLS}
    async with Projecting.running(database.url, "aloud", **given):
        await passed(database.admin_url, await ring(store, "a", "b"), name="aloud")
    assert await rows(database.admin_url, "SELECT kind, name FROM reading.followers") == [("relay", "aloud")]


async def test_of_several_processes_one_projects(database: Database) -> None:
    async with (
        PostgresEventStore.connect(database.url) as store,
        Projecting.running(database.url, "balances", "--processes", "2") as supervisor,
    ):
        await reached(database.url, await book(store, "a", "b"))
        await check_balances(database.url)
        supervisor.process.terminate()
        await supervisor.process.wait()
    assert supervisor.process.returncode == 0
    # Released by whoever had it, and not left to expire.
    assert await rows(database.admin_url, "SELECT owner FROM reading.followers") == [(None,)]
