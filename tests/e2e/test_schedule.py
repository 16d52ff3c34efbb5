"""Scheduled commands, as people schedule, list and cancel them; and processes that are killed meanwhile."""

import asyncio
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from eventstore import Filter
from eventstore.postgres import PostgresEventStore
from tests.e2e.program import Worker
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.administration import execute
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import serving
from worker.counters import End
from worker.errors import NoSchedule
from worker.publisher import Publisher

ADA = '{"ReaderID": "ada", "Name": "Ada"}'
TALLY = "tests.support.domains.tally:domain"


async def _waiting(database: Database) -> int:
    connection = await asyncpg.connect(database.admin_url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM schedule.commands"))
    finally:
        await connection.close()


async def _waits(database: Database, count: int, *, seconds: float = 60) -> None:
    async def does() -> bool:
        return await _waiting(database) == count

    await eventually(does, what=f"{count} commands to wait", seconds=seconds)


async def test_a_command_is_scheduled_listed_and_cancelled(
    worker: Worker, database: Database, client: AmqpClient
) -> None:
    refused = await worker("publish", "RegisterReader", ADA, "--in", "36h")
    assert refused.mistake() == (
        "the domain library has no queue for scheduled commands; run `worker schedule run`, or `worker topology "
        "declare`, which make it."
    )
    assert "made " in (await worker("topology", "declare")).output
    first, second = str(uuid4()), str(uuid4())
    at = "2030-01-31T18:00:00+01:00"
    assert (await worker("publish", "RegisterReader", ADA, "--at", at, "--id", first)).output == f"{first}\n"
    told = await worker("publish", "RegisterReader", ADA, "--in", "36h", "--id", second, "--json")
    assert told.document() == {"command_id": second, "outcome": "scheduled"}
    assert await client.ready("library.schedule") == 2
    assert (await worker("schedule", "list")).output == "No command waits.\n"
    async with worker.started("schedule", "run") as process:
        await _waits(database, 2)
        listed = (await worker("schedule", "list", "--json")).document()
        assert [(each["command_id"], each["type"], each["domain"], each["state"]) for each in listed] == [
            (second, "RegisterReader", "library", "waits"),
            (first, "RegisterReader", "library", "waits"),
        ]
        assert datetime.fromisoformat(listed[1]["due_at"]) == datetime(2030, 1, 31, 17, tzinfo=UTC)
        assert "2030-01-31 17:00:00 UTC" in (await worker("schedule", "list", "--limit", "5")).output
        cancelled = await worker("schedule", "cancel", first)
        assert (cancelled.status, cancelled.output) == (0, f"Command {first} is cancelled.\n")
        again = await worker("schedule", "cancel", first)
        assert again.status == 1
        assert "No scheduled command has the id" in again.output
        assert await _waiting(database) == 1
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("publish", "RegisterReader", ADA, "--at", "noon"), "'noon' is not a time with an offset: write it as "),
        (("publish", "RegisterReader", ADA, "--at", "2030-01-31T18:00"), "is not a time with an offset: write it as "),
        (("publish", "RegisterReader", ADA, "--at", "never"), "'never' is not a time"),
        (("publish", "RegisterReader", ADA, "--at", "2099-01-01T00:00:00Z"), "is more than ten years ahead"),
        (("publish", "RegisterReader", ADA, "--in", "600w"), "is more than ten years ahead"),
        (("publish", "RegisterReader", ADA, "--in", "1h", "--at", "2030-01-31T18:00:00Z"), "leave out --at or --in"),
        (("publish", "RegisterReader", ADA, "--in", "1h", "--wait"), "a scheduled command cannot be waited for"),
        (("schedule", "cancel", "7"), "'7' is not a UUID"),
        (("schedule", "list", "--domain", "libary"), "there is no domain 'libary' in WORKER_DOMAINS"),
    ],
)
async def test_a_mistake_is_one_sentence(worker: Worker, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in (await worker(*arguments)).mistake()


async def test_a_right_that_is_missing_is_one_sentence(worker: Worker, database: Database) -> None:
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute("REVOKE USAGE ON SCHEMA schedule FROM eventstore_projections")
    await admin.close()
    assert (
        (await worker("schedule", "list"))
        .mistake()
        .startswith("the database role may not run a schedule: GRANT eventstore_projections to it")
    )


async def test_a_database_that_could_lose_what_was_promised_is_refused(worker: Worker, database: Database) -> None:
    await execute(database.admin_url, f'ALTER DATABASE "{database.name}" SET synchronous_commit = off')
    for arguments in (("schedule", "run"), ("schedule", "cancel", str(uuid4()), "--domain", "library")):
        told = (await worker(*arguments)).mistake()
        assert told.startswith("the database's synchronous_commit must be 'on' or 'remote_apply', not 'off': a crash")


async def test_processes_that_are_killed_at_any_point_have_each_command_take_effect_once(
    worker: Worker, database: Database, vhost: str
) -> None:
    tally = worker.having(WORKER_DOMAINS=TALLY)
    count = 600
    async with (
        PostgresEventStore.connect(database.url) as store,
        serving(store, vhost, worker_concurrency=32) as service,
        Publisher.connect(vhost) as publisher,
        AsyncExitStack() as stack,
    ):
        first = await stack.enter_async_context(tally.started("schedule", "run"))
        await eventually(lambda: _has_queue(publisher), what="the schedule")
        processes = [first]
        begun = datetime.now(UTC)
        for n in range(count):
            due = begun + timedelta(seconds=1 + 4 * n / count)
            await publisher.schedule("tally", "Count", {"Key": f"k{n}"}, due)
            if n % 150 == 75:
                # One more begins before the one that works is killed.
                processes.append(await stack.enter_async_context(tally.started("schedule", "run")))
                processes.pop(0).kill()
        await _waits(database, 0)

        async def all_counted() -> bool:
            return service.counters.ends[End.ACCEPTED] == count

        await eventually(all_counted, what="all commands to be decided")
        events = (await store.query(Filter.matching().any_event_type_of("Counted"))).events
        assert sorted(event.payload["Key"] for event in events) == sorted(f"k{n}" for n in range(count))
        assert not service.counters.dead_letters


async def test_the_queue_of_a_process_that_is_frozen_is_consumed_by_the_next_one(
    worker: Worker, database: Database, vhost: str
) -> None:
    tally = worker.having(WORKER_DOMAINS=TALLY)
    later = timedelta(hours=1)
    async with Publisher.connect(vhost) as publisher, tally.started("schedule", "run") as frozen:
        await eventually(lambda: _has_queue(publisher), what="the schedule")
        await publisher.schedule("tally", "Count", {"Key": "a"}, later)
        await _waits(database, 1)
        frozen.send_signal(signal.SIGSTOP)
        async with tally.started("schedule", "run"):
            # The broker hands this one to the frozen one, whose consumer is the only one; and again when that is gone.
            await publisher.schedule("tally", "Count", {"Key": "b"}, later)
            await _waits(database, 2)


async def _has_queue(publisher: Publisher) -> bool:
    try:
        await publisher.cancel("tally", uuid4())
    except NoSchedule:
        return False
    return True
