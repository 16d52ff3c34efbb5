"""Whatever ends, freezes or loses what: each command is sent, and takes effect once."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import Filter
from eventstore.postgres import PostgresEventStore, Session
from tests.integration.schedule.scheduling import TALLY, make_due, rows, running, scheduling, waiting, waits
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import serving
from tests.support.tcp_proxy import proxy
from worker.amqp.delivery import Delivery
from worker.leased_service import LeasedService
from worker.publisher import Publisher
from worker.reading.lease import Candidate, LeaseLost
from worker.schedule.scheduled import Due, Lease, Scheduled, ScheduledCommands

HOUR = timedelta(hours=1)
NOW = timedelta()


async def _runs(service: LeasedService) -> None:
    async def does() -> bool:
        return service.health().reason == "scheduling 1"

    await eventually(does, what="the lease to be taken")


async def _come(client: AmqpClient, ids: Sequence[UUID]) -> None:
    """Wait until all have come, and nothing else."""
    left = set(map(str, ids))
    came: set[str] = set()
    while came != left:
        came.add(str((await client.take(TALLY.queue)).message_id))
        assert came <= left


async def test_what_was_stored_and_not_acknowledged_is_stored_again_and_sent_once(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scheduling(database.url, vhost):
        # As if the process ended before the broker heard of it.
        monkeypatch.setattr(Delivery, "acknowledge", lambda *_: None)
        command_id = await publisher.schedule("tally", "Count", {"Key": "a"}, HOUR)
        await waits(database.admin_url, 1)
    monkeypatch.undo()
    # The queue has it back a moment after the connection is closed.
    await client.holds(TALLY.schedule_queue, 1)
    async with scheduling(database.url, vhost):
        await client.holds(TALLY.schedule_queue, 0)

        async def is_again() -> bool:
            return await rows(database.admin_url, "SELECT revision FROM schedule.commands") == [(2,)]

        await eventually(is_again, what="the message to be stored again")
        await make_due(database.admin_url)
        assert (await client.take(TALLY.queue)).message_id == str(command_id)
        await waits(database.admin_url, 0)
        assert await client.ready(TALLY.queue) == 0


async def test_what_was_sent_and_not_taken_away_is_sent_again_and_takes_effect_once(
    database: Database, vhost: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = asyncio.Event()

    async def never(_: ScheduledCommands, __: str, ___: Sequence[Due]) -> None:
        # As if the process ended here: the broker has it, and the database does not know.
        sent.set()
        await asyncio.Event().wait()

    async with PostgresEventStore.connect(database.url) as store, serving(store, vhost) as service:
        async with scheduling(database.url, vhost):
            monkeypatch.setattr(ScheduledCommands, "sent", never)
            command_id = await publisher.schedule("tally", "Count", {"Key": "a"}, NOW)
            await sent.wait()
        monkeypatch.undo()
        assert await waiting(database.admin_url) == [str(command_id)]
        async with scheduling(database.url, vhost):
            await waits(database.admin_url, 0)

            async def both_came() -> bool:
                return service.counters.ends.total() == 2

            await eventually(both_came, what="both to be settled")
        assert service.counters.ends == {"accepted": 1, "duplicate": 1}
        assert len((await store.query(Filter.matching().any_event_type_of("Counted"))).events) == 1


async def test_of_two_processes_one_works_and_the_other_goes_on(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    async with scheduling(database.url, vhost) as second:
        await _runs(second)
        async with scheduling(database.url, vhost) as first:
            assert first.health().reason == "another process is scheduling"
            ids = [await publisher.schedule("tally", "Count", {"Key": "a"}, HOUR) for _ in range(20)]
            await waits(database.admin_url, 20)
            # The one that has the lease loses it, as if its time had run out unnoticed.
            await rows(
                database.admin_url,
                "UPDATE reading.followers SET fence = fence + 1, leased_until = now() - interval '1 s'",
            )
            await make_due(database.admin_url)
            more = [await publisher.schedule("tally", "Count", {"Key": "a"}, NOW) for _ in range(20)]
            # What the first had sent when it lost the lease may come twice, with the same id.
            await _come(client, [*ids, *more])

            async def one_works() -> bool:
                return {each.health().reason for each in (first, second)} == {
                    *("scheduling 1", "another process is scheduling"),
                }

            await eventually(one_works, what="one of them to work")


async def test_who_has_lost_the_lease_writes_nothing(database: Database) -> None:
    commands = ScheduledCommands(Session(database.url, purpose="test"))
    await commands.register("tally")
    await commands.register("tally")
    old = await commands.take("tally", Candidate("one"))
    assert old is not None
    assert await commands.take("tally", Candidate("two")) is None
    scheduled = _scheduled(uuid4(), "first")
    assert await commands.put(old, "tally", [scheduled]) == {scheduled.command_id: "stored"}
    await rows(database.admin_url, "UPDATE reading.followers SET leased_until = now() - interval '1 s'")
    new = await commands.take("tally", Candidate("two"))
    assert new is not None
    with pytest.raises(LeaseLost):
        await commands.put(old, "tally", [_scheduled(scheduled.command_id, "late")], [scheduled.command_id])
    with pytest.raises(LeaseLost):
        await commands.renew(old)
    assert await commands.claim(old, "tally", most=10, most_bytes=1) == []
    assert [each.body for each in await commands.claim(new, "tally", most=10, most_bytes=1)] == [b"first"]
    await commands.close()


async def test_what_is_being_sent_can_be_cancelled_no_more_unless_it_comes_again(database: Database) -> None:
    commands = ScheduledCommands(Session(database.url, purpose="test"))
    lease = await _leased(commands)
    command = _scheduled(uuid4(), "a")
    await commands.put(lease, "tally", [command])
    (due,) = await commands.claim(lease, "tally", most=10, most_bytes=1)
    assert await commands.cancel("tally", command.command_id) == "being_sent"
    # A later message of its id is another one: to note that the earlier one was sent does not take it away.
    await commands.put(lease, "tally", [command])
    await commands.sent("tally", [due])
    assert await waiting(database.admin_url) == [str(command.command_id)]
    (again,) = await commands.claim(lease, "tally", most=10, most_bytes=1)
    await commands.refused("tally", {again: "too large"}, again_in=60)
    (told,) = await commands.waiting(["tally"], 10)
    assert (told.error, told.is_being_sent) == ("too large", False)
    assert (await commands.outlook("tally")).error == "too large"
    assert await commands.claim(lease, "tally", most=10, most_bytes=1) == []
    assert await commands.cancel("tally", command.command_id) == "cancelled"
    assert await commands.cancel("tally", command.command_id) == "unknown"
    assert await commands.put(lease, "tally", [command]) == {command.command_id: "cancelled"}
    await commands.close()


async def test_a_batch_is_no_larger_than_it_may_be(database: Database) -> None:
    commands = ScheduledCommands(Session(database.url, purpose="test"))
    lease = await _leased(commands)
    await commands.put(lease, "tally", [_scheduled(uuid4(), "x" * 100, ago=3 - n) for n in range(3)])
    assert len(await commands.claim(lease, "tally", most=10, most_bytes=101)) == 2
    assert len(await commands.claim(lease, "tally", most=1, most_bytes=1000)) == 1
    assert len(await commands.claim(lease, "tally", most=10, most_bytes=1000)) == 3
    await commands.close()


async def test_a_database_that_ends_all_connections_loses_and_doubles_nothing(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    async with scheduling(database.url, vhost) as service:
        await _runs(service)
        ids = [await publisher.schedule("tally", "Count", {"Key": "a"}, NOW) for _ in range(10)]
        await rows(
            database.admin_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'worker schedule%'",
        )
        ids += [await publisher.schedule("tally", "Count", {"Key": "a"}, NOW) for _ in range(10)]
        await _come(client, ids)
        await waits(database.admin_url, 0)


async def test_a_broker_that_is_away_is_told_and_what_is_due_is_sent_when_it_is_back(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    async with proxy(vhost) as way, scheduling(database.url, way.url) as service:
        await _runs(service)
        ids = [await publisher.schedule("tally", "Count", {"Key": "a"}, HOUR) for _ in range(3)]
        await waits(database.admin_url, 3)
        way.stop()
        ids.append(await publisher.schedule("tally", "Count", {"Key": "b"}, NOW))
        await make_due(database.admin_url)

        async def is_told() -> bool:
            return not service.health().ready and service.health().live

        await eventually(is_told, what="the broker to be missed")
        await way.start()
        await _come(client, ids)
        await waits(database.admin_url, 0)
        await _runs(service)


async def test_a_database_that_falls_silent_for_one_process_stops_no_other(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    async with proxy(database.url) as way, scheduling(way.url, vhost) as cut_off:
        running(cut_off)._answer_seconds = 1.0
        await _runs(cut_off)
        async with scheduling(database.url, vhost) as other:
            waiting_for = await publisher.schedule("tally", "Count", {"Key": "a"}, HOUR)
            await waits(database.admin_url, 1)
            way.hold_answers()
            try:
                # The broker gives this one to whoever consumes: not to who cannot store it any more.
                now = await publisher.schedule("tally", "Count", {"Key": "b"}, NOW)
                await _come(client, [now])
                await _runs(other)
                await make_due(database.admin_url)
                await _come(client, [waiting_for])
                assert not cut_off.health().ready
            finally:
                way.go_on()


def _scheduled(command_id: UUID, body: str, *, ago: float = 1.0) -> Scheduled:
    due = datetime.now(UTC) - timedelta(seconds=ago)
    values: dict[str, Any] = {"command_type": "Count", "due_at": due, "properties": b"", "body": body.encode()}
    return Scheduled(command_id=command_id, **values)


async def _leased(commands: ScheduledCommands) -> Lease:
    await commands.register("tally")
    lease = await commands.take("tally", Candidate("test"))
    assert lease is not None
    return lease
