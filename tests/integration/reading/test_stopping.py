"""Events that cannot be projected, and what a person does about them; pausing; and what a mistake is told by."""

import asyncio
import json
from collections.abc import Mapping

import asyncpg
import pytest

from eventstore import Event
from eventstore.postgres import PostgresEventStore, Session, migrate_reading
from tests.integration.reading.projecting import (
    Projecting,
    book,
    booked,
    check_balances,
    coordinating,
    reached,
    rows,
    told,
)
from tests.support.domains.ledger import Booked, balances, ledger, others
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from worker.errors import FollowerError, PositionNotProjected
from worker.leased_service import LeasedService
from worker.reading.administration import pause, resume, skip
from worker.reading.builds import Declared
from worker.reading.coordinator import Coordinator
from worker.reading.follower_run import FollowerRun
from worker.reading.followers import FollowerRow
from worker.reading.read_models import ReadModels

DECLARED = Declared(domain=ledger(balances), projection=balances)
TOO_MUCH = 2**62


async def _stopped(coordinator: Coordinator) -> None:
    async def is_stopped() -> bool:
        return any(running.failure is not None for running in coordinator.running.values())

    await eventually(is_stopped, what="an event to stop the projection")


async def test_an_event_that_fails_stops_its_projection_alone_behind_all_before_it(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([booked(f"a{n % 3}") for n in range(700)])
        await store.append([booked("bad", -1)])
        last = await book(store, "a1")
        async with coordinating(database.url, ledger(balances, others)) as coordinator:
            await reached(database.url, last, projection="ledger.others")
            await _stopped(coordinator)
            found = await rows(
                database.admin_url,
                "SELECT number, failed_number, failed_type, error, trace FROM reading.followers"
                " WHERE name = 'balances'",
            )
            ((number, failed, event_type, error, trace),) = found
            assert (number, failed, event_type) == (700, 701, "Booked")
            assert error == "ValueError: bad cannot go below nothing"
            behind = (await store.append([booked("a1", 0) for _ in range(30)])).position.number - number

            async def is_behind() -> bool:
                return behind in [each.behind for each in coordinator.figures()]

            await eventually(is_behind, what="the metrics of the stopped projection to follow the log's head")
            assert "ledger.py" in trace
            health = LeasedService([coordinator], doing="projecting").health()
            assert (health.live, health.ready) == (True, False)
            assert "ledger.balances is stopped by event 701: ValueError" in health.reason
            session = Session(database.url, purpose="test")
            assert await skip(session, DECLARED.name, None, by="ada", reason="booked by mistake") == [701]
            await session.close()
            await reached(database.url, last)
            assert await rows(database.url, "SELECT sum(total) FROM read_ledger.totals") == [(701,)]
            noted = "SELECT number, event_type, error, reason, skipped_by FROM reading.skipped"
            assert await rows(database.admin_url, noted) == [
                (701, "Booked", "ValueError: bad cannot go below nothing", "booked by mistake", "ada")
            ]


async def test_a_projection_that_stops_while_its_row_is_read_is_not_begun_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, is_late, is_seen_to = 0, False, asyncio.Event()
    start, renewed = FollowerRun.start, Coordinator._renewed

    def counted(run: FollowerRun) -> None:
        nonlocal begun
        begun += 1
        start(run)

    async def late(coordinator: Coordinator, held: Mapping[int, int]) -> tuple[list[FollowerRow], frozenset[int]]:
        nonlocal is_late
        if is_late:
            is_seen_to.set()
        found = await renewed(coordinator, held)
        if held and not is_late:
            # The rows are read before the event stops it, and used afterwards.
            is_late = True
            await _stopped(coordinator)
        return found

    monkeypatch.setattr(FollowerRun, "start", counted)
    monkeypatch.setattr(Coordinator, "_renewed", late)
    async with PostgresEventStore.connect(database.url) as store, coordinating(database.url, ledger(balances)) as it:

        async def is_read() -> bool:
            return is_late

        await eventually(is_read, what="the rows to be read")
        await store.append([booked("bad", -1)])
        await is_seen_to.wait()
        assert begun == 1
        (run,) = it.running.values()
        assert run.failure is not None


async def test_of_two_who_leave_one_event_out_one_is_told_that_it_was_done(database: Database) -> None:
    sessions = [Session(database.url, purpose="worker projections skip") for _ in range(2)]
    admin = await asyncpg.connect(database.admin_url)
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([booked("bad", -1)])
        async with coordinating(database.url, ledger(balances)) as coordinator:
            await _stopped(coordinator)
    async with admin.transaction():
        await admin.execute("SELECT FROM reading.followers FOR UPDATE")
        both = [
            asyncio.create_task(skip(session, DECLARED.name, None, by="ada", reason="booked by mistake"))
            for session in sessions
        ]

        async def wait() -> bool:
            waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            return len(await rows(database.admin_url, waiting)) == len(both)

        await eventually(wait, what="both to wait for the row")
    told = await asyncio.gather(*both, return_exceptions=True)
    assert [1] in told
    (late,) = [each for each in told if isinstance(each, FollowerError)]
    assert str(late) == "no event stops ledger.balances any more: it was skipped or resumed meanwhile"
    for session in sessions:
        await session.close()
    await admin.close()


async def test_a_value_that_the_server_refuses_stops_at_the_event_that_it_is_of(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([booked(f"a{n % 3}") for n in range(100)])
        # Each can be had alone; the sum is beyond what the column holds.
        await store.append([booked("much", TOO_MUCH), booked("much", TOO_MUCH), booked("a1")])
        async with coordinating(database.url, ledger(balances)) as coordinator:
            await _stopped(coordinator)
            ((number, failed, error),) = await rows(
                database.admin_url, "SELECT number, failed_number, error FROM reading.followers"
            )
            assert (number, failed) == (101, 102)
            assert "out of range" in error


async def test_an_event_that_cannot_be_read_stops_it_and_a_corrected_program_goes_on(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        await book(store, "a")
        await store.append([Event(type=Booked.__name__, payload={"Account": "a", "Amount": "much"})])
        async with coordinating(database.url, ledger(balances)) as coordinator:
            await _stopped(coordinator)
            ((error,),) = await rows(database.admin_url, "SELECT error FROM reading.followers")
            assert "event 2 (Booked) cannot be read" in error
            session = Session(database.url, purpose="test")
            await resume(session, DECLARED.name)
            await session.close()
            await _stopped(coordinator)


async def test_a_projection_rests_while_it_is_paused_and_then_goes_on(database: Database) -> None:
    session = Session(database.url, purpose="test")
    async with PostgresEventStore.connect(database.url) as store, coordinating(database.url, ledger(balances)) as it:
        await reached(database.url, await book(store, "a"))
        await pause(session, DECLARED.name)
        at = await book(store, "a")

        async def rests() -> bool:
            return not it.running

        await eventually(rests, what="the projection to rest")
        # It is behind, although its row was written when the log was as far as itself.
        _, output, _ = await told("projections", "status", "balances", "--json", url=database.url)
        (build,) = json.loads(output)["builds"]
        assert (build["position"].partition(":")[0], build["head"]) == ("1", at.number)
        async with ReadModels(database.url) as models:
            with pytest.raises(PositionNotProjected, match=r"is at event 1, and did not come to 2 within 0\.2 s"):
                await models.wait_for("ledger.balances", at, seconds=0.2)
        await resume(session, DECLARED.name)
        await reached(database.url, at)
        await check_balances(database.url)
    await session.close()


async def test_a_person_sees_what_stops_it_and_goes_on_without_the_event(database: Database) -> None:
    url = database.url
    async with PostgresEventStore.connect(url) as store:
        await store.append([booked("a"), booked("bad", -1), booked("a")])
    async with Projecting.running(url) as process:
        await process.logged("stopped: event 2 (Booked): ValueError: bad cannot go below nothing")
        status, output, errors = await told("projections", "list", url=url)
        assert (status, errors) == (1, "")
        assert "stopped by event 2" in output
        status, output, _ = await told("projections", "status", "balances", "--json", url=url)
        assert status == 1
        (build,) = json.loads(output)["builds"]
        assert build["failure"]["event"] == 2
        assert "Traceback" in build["failure"]["trace"]
        status, _, errors = await told("projections", "skip", "balances", "--event", "3", "--reason", "x", url=url)
        assert status == 2
        assert errors == "worker: ledger.balances is stopped by event 2, not by 3.\n"
        status, output, errors = await told(
            *("projections", "skip", "balances", "--event", "2", "--reason", "a slip", "--by", "ada"), url=url
        )
        assert (status, output, errors) == (0, "ledger.balances continues without event 2.\n", "")
        async with ReadModels(url) as models:
            at = await models.position("ledger.balances")
        await reached(url, type(at)(number=3, token=at.token))
        status, output, _ = await told("projections", "status", "balances", url=url)
        assert status == 0
        assert "skipped: event 2 (Booked), by ada" in output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("project", "balance"), "there is no projection 'balance'; known are ledger.balances, ledger.others"),
        (("projections", "pause", "nothing"), "there is no projection 'nothing'"),
        (("projections", "pause", "balances"), "ledger.balances was never run"),
        (("projections", "skip", "balances", "--reason", "x"), "no event stops ledger.balances"),
    ],
)
async def test_a_mistake_is_one_sentence(database: Database, arguments: tuple[str, ...], sentence: str) -> None:
    status, output, errors = await told(*arguments, url=database.url)
    assert (status, output) == (2, "")
    assert errors.startswith(f"worker: {sentence}")
    assert errors.count("\n") == 1


async def test_a_right_that_is_missing_is_one_sentence(database: Database) -> None:
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA reading FROM eventstore_projections")
    await admin.close()
    status, output, errors = await told("project", url=database.url)
    assert (status, output) == (2, "")
    assert (
        "the database role may not run projections, reactions or relays: GRANT eventstore_projections to it" in errors
    )
    assert "Traceback" not in errors


async def test_a_database_without_what_projections_need_is_one_sentence(database: Database, other: Database) -> None:
    admin = await asyncpg.connect(other.admin_url)
    await admin.execute("DROP SCHEMA reading CASCADE")
    status, output, errors = await told("project", url=database.url, PROJECTIONS_URL=other.url)
    assert (status, output) == (2, "")
    assert "run `worker db migrate`" in errors
    migrate = "db", "migrate", "--projections", "--json"
    status, output, errors = await told(*migrate, url=database.url, DATABASE_ADMIN_URL=other.admin_url)
    assert (status, errors) == (0, "")
    report = json.loads(output)
    assert (report["before"], report["after"], len(report["applied"])) == (0, 3, 3)
    assert (await migrate_reading(other.admin_url)).applied == ()
    await admin.close()
    async with (
        PostgresEventStore.connect(database.url) as store,
        Projecting.running(database.url, PROJECTIONS_URL=other.url),
    ):
        await reached(other.url, await book(store, "a"))
