"""A command that is sent later: when, how often, and what may be said about it meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.integration.schedule.scheduling import TALLY, make_due, rows, running, scheduling, waiting, waits
from tests.support.amqp_client import AmqpClient
from tests.support.dead_letters import replayed
from tests.support.fixtures.databases import TENANT, Database
from tests.support.fixtures.waiting import eventually
from worker.errors import MessageRefused, NoSchedule
from worker.publisher import Publisher
from worker.telemetry.logs import _JsonLines

HOUR = timedelta(hours=1)
BODY = {"Key": "a"}
SOME_TIME = ("2027-01-31T18:00:00Z",)


@pytest.fixture
async def scheduled(database: Database, vhost: str) -> AsyncIterator[str]:
    """The database of a schedule that runs."""
    async with scheduling(database.url, vhost):
        yield database.admin_url


async def test_a_command_is_sent_when_its_time_has_come_as_it_was_published(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    async with scheduling(database.url, vhost) as service:
        due = datetime.now(UTC) + timedelta(seconds=1)
        command_id = await publisher.schedule(
            "tally", "Count", BODY, due, correlation_id="visit", causation_id="door", reply_to="there", affinity_key="a"
        )
        later = await publisher.schedule("tally", "Count", {"Key": "b"}, HOUR)
        message = await client.take(TALLY.queue)
        # The servers of a test have its clock.
        assert datetime.now(UTC) >= due
        assert (message.message_id, message.type, message.correlation_id, message.reply_to, message.content_type) == (
            *(str(command_id), "Count", "visit", "there", "application/json"),
        )
        told = dict(message.headers)
        told.pop("x-delivery-count", None)  # RabbitMQ 3 counts a first delivery, as 0
        assert told == {"causation-id": "door", "affinity-key": "a", "deliver-at": due.isoformat()}
        assert json.loads(message.body) == BODY
        await waits(database.admin_url, 1)
        assert await waiting(database.admin_url) == [str(later)]
        figures = running(service).tally
        assert figures.domain == "tally"

        async def counted() -> bool:
            return (figures.stored, figures.sent, figures.late) == (2, 1, 0)

        # It counts after the database has taken the command out, and looks for what is late after that.
        await eventually(counted, what="what was sent to be counted")
        assert (service.health().ready, service.health().reason) == (True, "scheduling 1")


async def test_commands_wait_in_the_schema_of_their_domain_s_store(
    partitioned_database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    waiting_ids = f"SELECT command_id FROM {TENANT}_schedule.commands"  # noqa: S608  a constant
    make_all_due = f"UPDATE {TENANT}_schedule.commands SET due_at = now(), send_at = now()"  # noqa: S608  the same
    async with scheduling(partitioned_database.url, vhost, database_schema=TENANT) as service:
        command_id = await publisher.schedule("tally", "Count", BODY, HOUR)

        async def waits_there() -> bool:
            return await rows(partitioned_database.url, waiting_ids) == [(command_id,)]

        await eventually(waits_there, what="the command to wait")
        await rows(partitioned_database.admin_url, make_all_due)
        assert (await client.take(TALLY.queue)).message_id == str(command_id)
        assert service.health().reason == "scheduling 1"


@pytest.mark.parametrize(
    "given",
    [
        "2020-01-01T00:00:00Z",
        "2020-01-01t01:00:00.123456789+01:00",
        datetime(2020, 1, 1, tzinfo=UTC),
        "1970-01-01T00:00:00Z",
    ],
)
async def test_what_another_program_sends_with_a_time_that_is_past_is_sent_at_once(
    scheduled: str, client: AmqpClient, given: Any
) -> None:
    headers = {"deliver-at": given, "x-tenant": "t", "CC": ["tally"]}
    sent = await client.put(b'{"Key": "a"}', exchange="", routing_key=TALLY.schedule_queue, headers=headers)
    message = await client.take(TALLY.queue)
    assert (message.message_id, message.body) == (sent, b'{"Key": "a"}')
    # No header of it is acted upon by the broker, nor is it sent twice.
    assert message.headers["worker-withheld-headers"] == {"x-tenant": "t", "CC": ["tally"]}
    await waits(scheduled, 0)
    assert await client.ready(TALLY.queue) == 0


@pytest.mark.parametrize(
    ("deliver_at", "properties", "reason"),
    [
        ((), {}, "missing_deliver_at"),
        (("tomorrow",), {}, "bad_deliver_at"),
        (("2027-01-31T18:00:00",), {}, "bad_deliver_at"),
        ((1_800_000_000,), {}, "bad_deliver_at"),
        (("9999-12-31T23:59:59Z",), {}, "deliver_at_too_far"),
        (SOME_TIME, {"message_id": "7"}, "malformed_message_id"),
        (SOME_TIME, {"message_type": None}, "missing_type"),
        (SOME_TIME, {"message_type": "a\0b"}, "not_storable"),
        (("never",), {"message_id": "7"}, "malformed_message_id"),
    ],
)
async def test_what_can_never_be_scheduled_is_put_aside_with_a_reason_and_its_sender_told(
    scheduled: str, client: AmqpClient, deliver_at: tuple[Any, ...], properties: dict[str, Any], reason: str
) -> None:
    target: dict[str, Any] = {"exchange": "commands", "routing_key": TALLY.schedule_queue}
    asked: dict[str, Any] = {"reply_to": client.replies, "correlation_id": "c"}
    headers = dict.fromkeys(["deliver-at"] * len(deliver_at), *deliver_at)
    await client.put(b"{}", **target, headers=headers, **asked, **properties)
    good = await client.put(b"{}", **target, headers={"deliver-at": "2020-01-01T00:00:00Z"})
    letter = await client.take(TALLY.dead_queue)
    assert letter.headers["worker-reason"] == reason
    assert letter.headers["worker-queue"] == TALLY.schedule_queue
    assert letter.headers.get("deliver-at") == headers.get("deliver-at")
    answer = await client.answer()
    assert (answer["outcome"], answer["reason"].partition(":")[0]) == ("failed", reason)
    assert (await client.take(TALLY.queue)).message_id == good
    await waits(scheduled, 0)


@pytest.mark.usefixtures("scheduled")
async def test_the_log_names_the_command_that_was_put_aside(
    client: AmqpClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(_JsonLines())
    command_id = await client.put(b"{}", exchange="commands", routing_key=TALLY.schedule_queue)
    await client.take(TALLY.dead_queue)

    async def is_told() -> bool:
        return '"dead letter: ' in caplog.text

    await eventually(is_told, what="the log to say so")
    (said,) = (line for line in map(json.loads, caplog.text.splitlines()) if line["message"].startswith("dead letter"))
    told = {name: said.get(name) for name in ("command_id", "command_type", "domain")}
    assert told == {"command_id": command_id, "command_type": "Count", "domain": "tally"}


async def test_a_letter_that_was_never_due_is_replayed_to_the_schedule(
    scheduled: str, vhost: str, client: AmqpClient
) -> None:
    # Put aside by us; and by the broker, which says so in a header of its own.
    death = {"reason": "delivery_limit", "queue": TALLY.schedule_queue, "count": 1, "exchange": "", "routing-keys": []}
    stories: list[dict[str, Any]] = [{"worker-queue": TALLY.schedule_queue}, {"x-death": [death]}]
    ids = [
        await client.put(
            b"{}", exchange="", routing_key=TALLY.dead_queue, headers={"deliver-at": SOME_TIME[0], **story}
        )
        for story in stories
    ]
    assert await replayed(vhost) == len(ids)
    await waits(scheduled, len(ids))
    assert set(await waiting(scheduled)) == set(ids)
    assert await client.ready(TALLY.queue) == 0


async def test_of_two_messages_of_one_id_the_later_one_holds(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    sooner, later = uuid4(), uuid4()
    async with scheduling(database.url, vhost):
        await publisher.schedule("tally", "Count", BODY, 2 * HOUR, command_id=sooner)
        await publisher.schedule("tally", "Count", BODY, HOUR, command_id=later)
        await waits(database.admin_url, 2)
        await publisher.schedule("tally", "Count", {"Key": "now"}, timedelta(), command_id=sooner)
        await publisher.schedule("tally", "Count", BODY, 3 * HOUR, command_id=later)
        message = await client.take(TALLY.queue)
        assert (message.message_id, json.loads(message.body)) == (str(sooner), {"Key": "now"})
        await waits(database.admin_url, 1)
        ((found, due),) = await rows(database.admin_url, "SELECT command_id, due_at FROM schedule.commands")
        assert found == later
        assert due > datetime.now(UTC) + 2 * HOUR
        assert await client.ready(TALLY.queue) == 0


async def test_what_is_cancelled_is_not_sent_whichever_message_comes_first(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    async with scheduling(database.url, vhost) as service:
        await publisher.schedule("tally", "Count", BODY, HOUR, command_id=first)
        await waits(database.admin_url, 1)
        await publisher.cancel("tally", first)
        await publisher.cancel("tally", second)
        await publisher.schedule("tally", "Count", BODY, timedelta(), command_id=second)
        await publisher.schedule("tally", "Count", BODY, timedelta(), command_id=first)
        await publisher.schedule("tally", "Count", BODY, timedelta(), command_id=third)
        assert (await client.take(TALLY.queue)).message_id == str(third)
        await waits(database.admin_url, 0)
        assert await client.ready(TALLY.queue) == 0
        assert running(service).tally.cancelled == 2
    assert await client.ready(TALLY.schedule_queue) == 0


async def test_a_cancellation_of_long_ago_is_forgotten(database: Database, vhost: str, publisher: Publisher) -> None:
    async with scheduling(database.url, vhost):
        await publisher.cancel("tally", uuid4())

        async def is_noted() -> bool:
            return len(await rows(database.admin_url, "SELECT FROM schedule.cancelled")) == 1

        await eventually(is_noted, what="the cancellation")
        await rows(database.admin_url, "UPDATE schedule.cancelled SET cancelled_at = now() - interval '31 days'")
        last = uuid4()
        await publisher.cancel("tally", last)

        async def is_alone() -> bool:
            return await rows(database.admin_url, "SELECT command_id FROM schedule.cancelled") == [(UUID(str(last)),)]

        await eventually(is_alone, what="the old one to be gone")


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        (datetime(2027, 1, 31), "has no time zone"),  # noqa: DTZ001  that is the mistake
        (timedelta(days=3653), "is more than ten years ahead"),
        (timedelta(days=999_999_999), "is outside the calendar"),
        (datetime(9999, 1, 1, tzinfo=UTC), "is more than ten years ahead"),
    ],
)
async def test_a_bad_time_is_refused_before_anything_is_sent(publisher: Publisher, at: Any, problem: str) -> None:
    with pytest.raises(MessageRefused, match=problem) as refused:
        await publisher.schedule("tally", "Count", BODY, at)
    assert refused.value.command_id is not None


async def test_a_domain_that_has_no_schedule_is_told(publisher: Publisher) -> None:
    command_id = uuid4()
    with pytest.raises(NoSchedule, match="the domain tally has no queue for scheduled commands"):
        await publisher.schedule("tally", "Count", BODY, HOUR)
    with pytest.raises(NoSchedule) as refused:
        await publisher.cancel("tally", command_id)
    assert refused.value.command_id == command_id


async def test_what_the_broker_refuses_waits_and_is_told_and_holds_up_nothing_else(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scheduling(database.url, vhost) as service:
        schedule = running(service)
        send = schedule._sender.send

        async def refusing(body: bytes, properties: Any, **options: Any) -> None:
            if b"bad" in body:
                raise MessageRefused("RabbitMQ refuses the message: it is too large")
            await send(body, properties, **options)

        monkeypatch.setattr(schedule._sender, "send", refusing)
        bad = await publisher.schedule("tally", "Count", {"Key": "bad"}, timedelta())
        good = await publisher.schedule("tally", "Count", {"Key": "good"}, timedelta())
        assert (await client.take(TALLY.queue)).message_id == str(good)

        async def is_told() -> bool:
            return not service.health().ready

        await eventually(is_told, what="the refusal to be told")
        assert service.health().reason == "tally: RabbitMQ refuses the message: it is too large"
        assert running(service).tally.late > 0
        # It can be cancelled still; or is sent when the broker takes it.
        monkeypatch.undo()
        await make_due(database.admin_url)
        assert (await client.take(TALLY.queue)).message_id == str(bad)
        await waits(database.admin_url, 0)


async def test_a_queue_that_somebody_deleted_is_made_again(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    async with scheduling(database.url, vhost):
        sent = await asyncio.gather(*(publisher.schedule("tally", "Count", BODY, HOUR) for _ in range(5)))
        await waits(database.admin_url, 5)
        await client.delete(TALLY.queue)
        await make_due(database.admin_url)
        await waits(database.admin_url, 0)
        assert {(await client.take(TALLY.queue)).message_id for _ in sent} == set(map(str, sent))


async def test_many_that_are_due_at_once_are_sent_each_once(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    async with scheduling(database.url, vhost):
        ids = await asyncio.gather(*(publisher.schedule("tally", "Count", BODY, HOUR) for _ in range(400)))
        await waits(database.admin_url, 400)
        await make_due(database.admin_url)
        await waits(database.admin_url, 0)
        assert await client.ready(TALLY.queue) == 400
        assert {(await client.take(TALLY.queue)).message_id for _ in ids} == set(map(str, ids))
