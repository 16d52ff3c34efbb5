"""Frames of any size that a broker can be set to: bodies take several, and all properties must fit in one."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from eventstore.postgres import PostgresEventStore
from tests.integration.reading.bell_tower import passed, ring, sending, stopped
from tests.support.amqp_client import AmqpClient, Properties
from tests.support.dead_letters import letters
from tests.support.domains.bells import aloud, bells
from tests.support.fixtures.brokers import RabbitInTurn
from tests.support.fixtures.databases import Database
from tests.support.serving import QUEUES, serving, settled
from worker.amqp.declaration import declare
from worker.counters import End
from worker.errors import MessageRefused
from worker.message import CONTENT_TYPE
from worker.publisher import Publisher
from worker.rounds.forwarding import DROPPED_HEADER

SMALLEST = 4096
USUAL = 128 * 1024
# The header and the end of each frame.
BESIDE = 8
# What the properties' frame contains before them.
BESIDE_PROPERTIES = 12


@pytest.fixture(params=[SMALLEST, USUAL, 0], ids=["smallest", "usual", "unlimited"])
async def frame(request: pytest.FixtureRequest, breakable_broker: RabbitInTurn) -> int:
    """The largest frame of the broker; 0 for no limit."""
    size: int = request.param
    await asyncio.to_thread(breakable_broker.use_frames, size)
    return size


@pytest.fixture
async def own_desk(breakable_broker: RabbitInTurn, frame: int) -> AsyncIterator[AmqpClient]:  # noqa: ARG001  set first
    async with AmqpClient.open(breakable_broker.url) as client:
        await declare(client.channel, QUEUES)
        yield client


def body_of(size: int) -> bytes:
    empty = b'{"Key": "a", "Limit": 1000, "Pad": ""}'
    return empty[:-2] + b"k" * (size - len(empty)) + empty[-2:]


def filling(frame: int, **properties: Any) -> dict[str, str]:
    """Headers with which these properties fill one frame."""
    empty = Properties(headers={"pad": ""}, delivery_mode=2, **properties)
    return {"pad": "p" * (frame - BESIDE - BESIDE_PROPERTIES - len(empty.marshal()))}


async def test_bodies_of_any_size_are_read_and_answered(
    breakable_broker: RabbitInTurn, own_desk: AmqpClient, store: PostgresEventStore, frame: int
) -> None:
    payload = (frame or USUAL) - BESIDE
    sizes = [times * payload + more for times in (1, 2) for more in (-1, 0, 1)]
    async with (
        Publisher.connect(breakable_broker.url) as publisher,
        serving(store, breakable_broker.url) as service,
    ):
        replies = await asyncio.gather(*(publisher.request("tally", "Count", body_of(size)) for size in sizes))
        assert {reply.outcome for reply in replies} == {"accepted"}
        # A copy has the same body.
        ids = {await own_desk.put(body_of(size), message_type="Unknown"): body_of(size) for size in sizes}
        await settled(service, 2 * len(sizes))
    assert {each.message_id: each.body for each in await letters(breakable_broker.url)} == ids


async def test_a_publisher_sends_what_fits_into_one_frame_and_refuses_the_rest_alone(
    breakable_broker: RabbitInTurn, own_desk: AmqpClient, frame: int
) -> None:
    async with Publisher.connect(breakable_broker.url) as publisher:
        before = publisher._sender._link._wire
        usual = {"message_id": "i" * 36, "correlation_id": "i" * 36, "message_type": "Count"}
        most = len(filling(frame or USUAL, content_type=CONTENT_TYPE, timestamp=datetime.now(UTC), **usual)["pad"])
        # The header has a longer name.
        key = "k" * (most - len("affinity-key") + len("pad"))
        await publisher.publish("tally", "Count", {"Key": "a"}, affinity_key=key)
        if frame:
            with pytest.raises(MessageRefused, match=f"do not fit into one frame of {frame:,} bytes"):
                await publisher.publish("tally", "Count", {"Key": "a"}, affinity_key=key + "k")
        neighbours = [publisher.publish("tally", "Count", {"Key": str(n)}) for n in range(50)]
        large = publisher.publish("tally", "Count", {"Key": "a"}, affinity_key="k" * 2 * USUAL)
        *good, bad = await asyncio.gather(*neighbours, large, return_exceptions=True)
        assert isinstance(bad, MessageRefused) == bool(frame)
        assert not [each for each in good if isinstance(each, BaseException)]
        assert publisher._sender._link._wire is before
    await own_desk.holds(QUEUES.queue, 51 if frame else 52)


@pytest.mark.parametrize(
    ("domain", "command_type", "correlation_id"),
    [
        ("tally", "ö" * 200, None),
        ("tally", "\ud800", None),
        ("tally", "Count", "c" * 256),
        ("ö" * 200, "Count", None),
        ("t" * 256, "Count", None),
    ],
    ids=["type-of-letters-of-two-bytes", "type-not-text", "correlation-id", "domain-of-letters-of-two-bytes", "domain"],
)
@pytest.mark.parametrize("frame", [USUAL], indirect=True)
async def test_a_name_that_cannot_be_sent_is_refused_alone(
    breakable_broker: RabbitInTurn,
    own_desk: AmqpClient,
    domain: str,
    command_type: str,
    correlation_id: str | None,
) -> None:
    async with Publisher.connect(breakable_broker.url) as publisher:
        before = publisher._sender._link._wire
        neighbours = [publisher.publish("tally", "Count", {"Key": str(n)}) for n in range(20)]
        bad = publisher.publish(domain, command_type, {"Key": "a"}, correlation_id=correlation_id)
        refused, *good = await asyncio.gather(bad, *neighbours, return_exceptions=True)
        assert isinstance(refused, MessageRefused), refused
        assert not [each for each in good if isinstance(each, BaseException)]
        assert publisher._sender._link._wire is before
    await own_desk.holds(QUEUES.queue, 20)


async def test_messages_that_fill_a_frame_are_answered_retried_and_dead_lettered(
    breakable_broker: RabbitInTurn, own_desk: AmqpClient, store: PostgresEventStore, frame: int
) -> None:
    """Copies carry more headers, and so does what a broker delivers again."""
    ids: dict[str, str] = {}
    for command_type in ("Count", "Unknown", "Explode"):
        asked: dict[str, Any] = {
            "message_id": str(uuid4()),
            "message_type": command_type,
            "reply_to": own_desk.replies,
            "correlation_id": "c" * 255,
        }
        full = filling(frame or USUAL, **asked)
        ids[await own_desk.put(b'{"Key": "a"}', headers=full, **asked)] = command_type
    # The first one is delivered again, with one more header.
    await own_desk.lose(QUEUES.queue)
    async with serving(store, breakable_broker.url) as service:
        for n in range(20):
            await own_desk.put(b'{"Key": "k%d"}' % n, reply_to=own_desk.replies)
        answers = await own_desk.answers(len(ids) + 20)
        # The one that explodes is delivered three times.
        await settled(service, len(ids) + 20 + 2)
        assert service.counters.ends == {End.ACCEPTED: 21, End.RETRIED: 2, End.DEAD_LETTERED: 2}
        assert service.counters.failed_replies == 0
        assert service.counters.dead_letters == {"unknown_command": 1, "handler_error": 1}
    assert {ids[each]: answers[each]["outcome"] for each in ids} == {
        "Count": "accepted",
        "Unknown": "failed",
        "Explode": "failed",
    }
    found = await letters(breakable_broker.url)
    assert sorted(each.reason for each in found) == ["handler_error", "unknown_command"]
    for each in found:
        headers = each.headers
        assert (headers.get(DROPPED_HEADER) == "pad") == bool(frame)
        assert ("pad" in headers) != bool(frame)


@pytest.mark.parametrize("frame", [SMALLEST], indirect=True)
@pytest.mark.parametrize(("count", "all_fit"), [(200, True), (340, False)])
async def test_a_message_with_many_headers_is_dead_lettered_with_all_or_none(
    breakable_broker: RabbitInTurn, own_desk: AmqpClient, store: PostgresEventStore, *, count: int, all_fit: bool
) -> None:
    headers = {f"h{n:03}": "v" for n in range(count)}
    await own_desk.put(b'{"Key": "a"}', message_type="Unknown", headers=headers)
    async with serving(store, breakable_broker.url) as service:
        await settled(service, 1)
    assert service.counters.dead_letters == {"unknown_command": 1}
    (letter,) = await letters(breakable_broker.url)
    assert letter.reason == "unknown_command"
    assert len(headers.keys() & letter.headers.keys()) == (count if all_fit else 0)
    assert (DROPPED_HEADER in letter.headers) != all_fit


async def test_a_relay_stops_at_an_event_that_does_not_fit_and_sends_all_before_it(
    breakable_broker: RabbitInTurn, own_desk: AmqpClient, store: PostgresEventStore, database: Database, frame: int
) -> None:
    domain = bells(relays=(aloud,))
    async with sending(database.url, breakable_broker.url, domain) as coordinator:
        first = await ring(store, "first")
        await passed(database.admin_url, first, name="aloud")
        heard = await own_desk.channel.declare_queue("heard")
        await heard.bind("bells.events", "#")
        # Its name is the subject.
        last = await ring(store, "a", "b", "k" * 2 * (frame or USUAL), "c")
        if frame:
            assert "do not fit into one frame" in await stopped(coordinator)
        else:
            await passed(database.admin_url, last, name="aloud")
        found = [await own_desk.take("heard") for _ in range(2 if frame else 4)]
        assert await own_desk.ready("heard") == 0
    assert [json.loads(each.body)["Bell"][:1] for each in found] == ["a", "b", "k", "c"][: len(found)]
