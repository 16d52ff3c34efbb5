"""Workers behind a real PgBouncer, where one is on the PATH, set up word for word as the documentation says."""

import asyncio
import re
import shutil
import socket
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from deploy.local.account import Account
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.reaper_client import ReaperClient
from deploy.local.server import Server
from eventstore import (
    Append,
    Event,
    EventStoreError,
    Filter,
    HoldExpired,
    Receipt,
    StoreMisconfigured,
    StoreUnavailable,
)
from eventstore.postgres import PostgresEventStore, migrate
from tests.e2e.conftest import Serving
from tests.e2e.program import ROOT, Worker
from tests.support.fixtures.administration import execute, on
from tests.support.fixtures.databases import Database
from tests.support.fixtures.failover import PrimaryAndStandby
from tests.support.fixtures.waiting import eventually

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin") or shutil.which("pgbouncer")
ADA = '{"ReaderID": "ada", "Name": "Ada Lovelace"}'
COUNTED = Event(type="Counted", payload={"Key": "a"})
BOOK = """{
    "BookID": "b", "ISBN": "i", "Title": "t", "Authors": "a", "Edition": "e", "Publisher": "p", "PublicationYear": 2000
}"""
LEND = '{"BookID": "b", "ReaderID": "ada"}'
DOCUMENTATION = (ROOT / "docs" / "database.md").read_text(encoding="utf-8").partition("## PgBouncer")[2]

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")


def documented(language: str) -> str:
    """Return the documentation's block of code in that language."""
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENTATION, re.DOTALL)
    assert found is not None
    return found[1]


class PgBouncer(Server):
    """A PgBouncer in session mode, before one server.

    Args:
        reaper: Runs it.
        server: The server's address, with the user that connects.
        more: Further lines of its configuration.
        name: What tells it from another that the reaper runs.
    """

    port: int

    def __init__(self, reaper: ReaperClient, server: str, more: str = "", *, name: str = "pgbouncer") -> None:
        super().__init__(reaper, name)
        self._server = urlsplit(server)
        self._more = more

    @property
    def url(self) -> str:
        """The server's address through it."""
        return self._server._replace(netloc=f"{self._server.username}:x@{LOOPBACK}:{self.port}").geturl()

    def _choose_ports(self) -> None:
        self.port = free_port()

    def _ports(self) -> tuple[int, ...]:
        return (self.port,)

    def _launch(self) -> int:
        file = self._reaper.folder / f"{self.name}.ini"
        at = self._server
        self._reaper.write(
            file,
            f"""\
[databases]
* = host={at.hostname} port={at.port} user={at.username} password={at.password or ""}
[pgbouncer]
listen_addr = {LOOPBACK}
listen_port = {self.port}
unix_socket_dir =
auth_type = any
pool_mode = session
default_pool_size = 50
{self._more}
""",
        )
        assert PROGRAM is not None
        return self._reaper.start([PROGRAM, str(file)], log=self.log)

    def _is_ready(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), timeout=1).close()
        except OSError:
            return False
        return True


async def session_names(admin_url: str, role: str | None) -> set[str]:
    """How a role's sessions appear in the server."""
    connection = await asyncpg.connect(admin_url)
    try:
        rows = await connection.fetch(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND usename = $1", role
        )
    finally:
        await connection.close()
    return {row["application_name"] for row in rows}


@pytest.fixture
def reaper() -> Iterator[ReaperClient]:
    reaper = ReaperClient(Account.for_servers())
    yield reaper
    reaper.close()


async def test_workers_serve_through_a_pooler_that_is_set_up_as_documented(
    worker: Worker, serving: Serving, database: Database, reaper: ReaperClient
) -> None:
    role = urlsplit(database.url).username
    for statement in documented("sql").splitlines():
        # The other tests have the same role.
        await execute(
            database.admin_url,
            statement.replace("ROLE worker SET", f'ROLE "{role}" IN DATABASE "{database.name}" SET'),
        )
    pooler = PgBouncer(reaper, database.url, documented("ini"))
    pooler.start()
    pooled = worker.having(DATABASE_URL=pooler.url, DATABASE_REPLICA_URLS="")
    checked = await pooled("db", "check", "--json")
    assert [finding["part"].split()[0] for finding in checked.document() if not finding["good"]] == ["pooler"]
    async with serving(pooled):
        registered = await pooled("publish", "RegisterReader", ADA, "--wait")
        refused = await pooled("publish", "LendBookCopyToReader", LEND, "--wait")
        # By these names the finishing of a migration tells the workers of an older build.
        names = await session_names(database.admin_url, role)
    assert "worker (append 2)" in names
    assert all(name.endswith("(append 2)") for name in names)
    assert (registered.status, registered.output[36:]) == (0, "  accepted, event 1\n"), registered
    assert (refused.status, refused.output[36:]) == (0, "  rejected: book is not in circulation, event 2\n"), refused


async def test_the_lock_is_held_through_a_pooler_in_transaction_mode(database: Database, reaper: ReaperClient) -> None:
    """One transaction has one session. With one session for all, what the driver has prepared is always found."""
    role = urlsplit(database.url).username
    for statement in documented("sql").splitlines():
        await execute(
            database.admin_url,
            statement.replace("ROLE worker SET", f'ROLE "{role}" IN DATABASE "{database.name}" SET'),
        )
    mode = "pool_mode = transaction\ndefault_pool_size = 1\n"
    pooler = PgBouncer(reaper, database.url, documented("ini") + mode)
    pooler.start()
    boundary = Filter.matching().any_event_type_of("Counted")
    event = Event(type="Counted", payload={"Key": "a"})
    async with (
        PostgresEventStore.connect(pooler.url, pool_size=1) as pooled,
        PostgresEventStore.connect(database.url) as direct,
    ):
        for turn in range(3):
            async with pooled.exclusive(limit=10.0, patience=10.0) as held:
                racing = asyncio.create_task(direct.append([event]))
                (stream,) = await held.query_many([boundary])
                (answer,) = await held.append_chain(
                    [Append(events=[event], boundary=boundary, after=stream.position, key=uuid4())]
                )
            assert isinstance(answer, Receipt)
            assert (answer.first, (await racing).first) == (2 * turn + 1, 2 * turn + 2)
        async with pooled.exclusive(limit=0.05, patience=10.0) as held:
            assert (await direct.append([event])).first == 7
            with pytest.raises(HoldExpired):
                await held.query_many([boundary])
        assert len((await pooled.query(boundary)).events) == 7


async def test_followers_go_on_through_a_pooler_in_transaction_mode(
    worker: Worker, serving: Serving, database: Database, reaper: ReaperClient
) -> None:
    """Their leases and checkpoints lie in rows, and what they prepare ends with its transaction."""
    mode = "pool_mode = transaction\ndefault_pool_size = 2\n"
    pooler = PgBouncer(reaper, database.url, documented("ini") + mode)
    pooler.start()
    pooled = worker.having(PROJECTIONS_URL=pooler.url)
    lent, owner = "SELECT reader_id FROM read_library.books_lent_out", "SELECT owner FROM reading.followers"

    async def comes_to(sql: str, readers: list[str]) -> None:
        async def is_there() -> bool:
            return await _column(database.admin_url, sql) == readers

        await eventually(is_there, what=f"{readers} to be shown")

    async with serving(worker), pooled.started("follow") as first, pooled.started("follow") as second:
        assert (await worker("publish", "AddBookCopyToCirculation", BOOK, "--wait")).status == 0
        assert (await worker("publish", "RegisterReader", ADA, "--wait")).status == 0
        assert (await worker("publish", "LendBookCopyToReader", LEND, "--wait")).status == 0
        await comes_to(lent, ["ada"])
        first.kill()
        await first.wait()
        assert (await worker("publish", "ReturnBookCopyFromReader", LEND, "--wait")).status == 0
        await comes_to(lent, [])
        listed = await pooled("projections", "list", "--json")
        assert listed.status == 0, listed

        async def have_moved() -> bool:
            owners = await _column(database.admin_url, owner)
            return {each.split()[1] for each in owners} == {str(second.pid)}

        await eventually(have_moved, what="the second process to have all leases")


async def _column(url: str, sql: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(sql)]
    except asyncpg.UndefinedTableError:
        return []
    finally:
        await connection.close()


async def test_of_two_poolers_the_one_whose_server_was_promoted_is_found(
    primary_and_standby: PrimaryAndStandby, reaper: ReaperClient
) -> None:
    """A pooler takes clients although its server is gone, and tells what its server was when it last asked."""
    primary, standby = primary_and_standby
    await migrate(primary.url(primary.admin))
    for statement in documented("sql").splitlines():
        await execute(primary.url(primary.admin), statement.replace("ROLE worker", f'ROLE "{primary.worker.user}"'))
    poolers = []
    for place, server in enumerate((primary, standby)):
        pooler = PgBouncer(reaper, server.url(server.worker), documented("ini"), name=f"pgbouncer-{place}")
        pooler.start()
        poolers.append(pooler)
    first, second = (urlsplit(pooler.url) for pooler in poolers)
    both = first._replace(netloc=f"{first.netloc},{second.hostname}:{second.port}", query="connect_timeout=2").geturl()
    boundary = Filter.matching().any_event_type_of("Counted")
    event = Event(type="Counted", payload={"Key": "a"})
    # In the other order, the pooler of the standby takes clients as well.
    backwards = urlsplit(both)._replace(netloc=f"{second.netloc},{first.hostname}:{first.port}").geturl()
    async with PostgresEventStore.connect(backwards) as store:
        await store.append([event])
    async with PostgresEventStore.connect(both) as store:
        await store.append([event])
        await eventually(partial(_has_event, second.geturl()), what="the standby to have the event")
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(standby.promote)
        await eventually(partial(_appends, store, event), what="the store to find the promoted server")
        numbers = [each.sequence_number for each in (await store.query(boundary)).events]
        assert numbers == list(range(1, len(numbers) + 1))
    # Who comes anew meets the pooler without a server first.
    async with PostgresEventStore.connect(both) as anew:
        assert (await anew.append([event])).first == len(numbers) + 1


async def _appends(store: PostgresEventStore, event: Event) -> bool:
    try:
        await store.append([event])
    except EventStoreError:
        return False
    return True


async def _has_event(url: str) -> bool:
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        return bool(await connection.fetchval("SELECT count(*) FROM eventstore.events"))
    finally:
        await connection.close()


async def test_a_pooler_that_is_not_set_up_is_told(worker: Worker, database: Database, reaper: ReaperClient) -> None:
    pooler = PgBouncer(reaper, database.url)
    pooler.start()
    done = await worker.having(DATABASE_URL=pooler.url, DATABASE_REPLICA_URLS="")("run")
    assert "does not accept this program's startup parameters" in done.mistake()


async def test_psycopg_needs_no_setting_of_a_poolers_and_tells_what_is_wrong(
    database: Database, reaper: ReaperClient
) -> None:
    pooler = PgBouncer(reaper, database.url, "server_login_retry = 0")
    pooler.start()
    async with PostgresEventStore.connect(pooler.url, driver="psycopg", pool_size=2) as store:
        appended = await asyncio.gather(*(store.append([COUNTED]) for _ in range(8)))
        assert len({each.first for each in appended}) == 8
        assert len((await store.query(Filter.matching_any_event())).events) == 8
    with pytest.raises(StoreUnavailable, match="nowhere"):
        await PostgresEventStore.connect(on(pooler.url, "nowhere"), driver="psycopg")


async def test_a_pooler_that_gives_each_transaction_another_session_is_told(
    database: Database, reaper: ReaperClient
) -> None:
    pooler = PgBouncer(reaper, database.url, documented("ini") + "pool_mode = transaction\n")
    pooler.start()
    with pytest.raises(StoreMisconfigured, match="gives each transaction another session; use its session mode"):
        await _appended_until_refused(pooler.url)


async def _appended_until_refused(url: str) -> None:
    async with PostgresEventStore.connect(url, driver="psycopg", pool_size=2) as store:
        while True:  # until two of its sessions meet in one of the server's
            await asyncio.gather(store.append([COUNTED]), store.query(Filter.matching_any_event()))
