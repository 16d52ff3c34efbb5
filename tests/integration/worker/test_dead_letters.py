"""What can never be processed is put aside with its reason, and the worker goes on."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.vhosts import Management
from tests.support.serving import QUEUES, serving, settled
from worker.counters import End
from worker.publisher import Publisher
from worker.service import Service

GOOD = b'{"Key": "a"}'
NONSENSE: dict[str, Any] = {
    "traceparent": "yesterday",
    "tracestate": [1, {"a": None}],
    "causation-id": {"deep": ["er"]},
    "worker-attempts": "many",
    "worker-first-failure": "0001-01-01T00:00:00+14:00",
    "x-death": "never",
    "x-delivery-count": 10**6,
    "bytes": bytearray(b"\xff\x00"),
}


class NotUtf8(str):
    """A text that goes over the wire in another encoding."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return super().encode("latin-1")


# What is wrong, the message, its reason, and what the error's text says.
BAD: list[tuple[str, bytes, dict[str, Any], str, str]] = [
    ("no JSON", b"{nope", {}, "not_json", "the body is not JSON"),
    ("nothing", b"", {}, "not_json", "the body is not JSON: it is empty"),
    ("invalid UTF-8", b'{"Key": "\xff"}', {}, "not_json", "the body is not JSON"),
    ("an array", b"[1]", {}, "not_an_object", "must be a JSON object, not an array"),
    ("a missing field", b"{}", {}, "invalid_command", "Count: Key is missing"),
    ("a wrong field", b'{"Key": 5}', {}, "invalid_command", "Count: Key: input should be a valid string"),
    ("an unknown command", GOOD, {"message_type": "Fly"}, "unknown_command", "no decider of the command 'Fly'"),
    ("a malformed id", GOOD, {"message_id": "42"}, "malformed_message_id", "'42' is not a UUID"),
    ("no type", GOOD, {"message_type": None}, "missing_type", "has no type"),
    ("2 MB", b'{"Key": "%s"}' % (b"k" * 2_000_000), {}, "too_large", "the body has 2,000,011 bytes"),
    ("depth", b'{"Key": %s%s}' % (b"[" * 10_000, b"]" * 10_000), {}, "too_deep", "more than 64 levels deep"),
    ("only opening brackets", b"[" * 10_000, {}, "too_deep", "more than 64 levels deep"),
    ("NUL", b'{"Key": "a\\u0000b"}', {}, "not_storable", "NUL"),
    ("a lone surrogate", b'{"Key": "\\ud800"}', {}, "not_json", "the body is not JSON"),
    ("nonsense in the headers", b"{}", {"headers": NONSENSE}, "invalid_command", "Key is missing"),
]


@pytest.fixture
async def service(store: PostgresEventStore, vhost: str) -> AsyncIterator[Service]:
    async with serving(store, vhost) as service:
        yield service


async def test_each_bad_message_is_put_aside_with_its_reason_and_the_worker_goes_on(
    service: Service, store: PostgresEventStore, publisher: Publisher, client: AmqpClient
) -> None:
    sent = {}
    answered = []
    for what, body, properties, _, _ in BAD:
        sent[what] = await client.put(body, **({"correlation_id": what, "app_id": "test"} | properties))
        answered.append(await publisher.request("tally", "Count", {"Key": what}))
    letters = {str(letter.correlation_id): letter for letter in [await client.take(QUEUES.dead_queue) for _ in BAD]}
    assert {what: letter.headers["worker-reason"] for what, letter in letters.items()} == {
        what: reason for what, _, _, reason, _ in BAD
    }
    for what, body, _, _, text in BAD:
        letter = letters[what]
        assert (letter.body, letter.message_id, letter.app_id) == (body, sent[what], "test")
        assert text in str(letter.headers["worker-error"])
        assert letter.headers["worker-queue"] == QUEUES.queue
        assert "worker-traceback" not in letter.headers
    # Nothing of the bad ones was recorded.
    assert {reply.outcome for reply in answered} == {"accepted"}
    assert {receipt.key async for receipt in store.all_receipts()} == {reply.command_id for reply in answered}
    await settled(service, 2 * len(BAD))
    assert service.counters.ends == {End.DEAD_LETTERED: len(BAD), End.ACCEPTED: len(BAD)}
    assert service.counters.dead_letters == Counter(reason for _, _, _, reason, _ in BAD)


async def test_a_message_without_an_id_is_put_aside(
    service: Service, management: Management, vhost: str, client: AmqpClient
) -> None:
    # The client library gives every message an id; the management interface does not.
    message = {"properties": {"type": "Count"}, "routing_key": "tally", "payload": "{}", "payload_encoding": "string"}
    path = f"/api/exchanges{urlsplit(vhost).path}/commands/publish"
    assert await asyncio.to_thread(management.request, "POST", path, message) == {"routed": True}
    letter = await client.take(QUEUES.dead_queue)
    assert letter.headers["worker-reason"] == "missing_message_id"
    assert "give each command a UUID" in str(letter.headers["worker-error"])
    await settled(service, 1)
    assert service.counters.dead_letters == {"missing_message_id": 1}


async def test_an_id_that_was_used_for_another_command_is_put_aside(
    service: Service, publisher: Publisher, client: AmqpClient
) -> None:
    command_id = uuid4()
    first = await publisher.request("tally", "Count", {"Key": "a"}, command_id=command_id)
    failed = await publisher.request("tally", "Count", {"Key": "b"}, command_id=command_id)
    assert failed.outcome == "failed"
    assert (failed.reason or "").startswith("id_reused: ")
    letter = await client.take(QUEUES.dead_queue)
    assert (letter.headers["worker-reason"], letter.message_id) == ("id_reused", str(command_id))
    # The same command in other words is the same command.
    await client.put(b'{ "Key" :"a"}', message_id=str(command_id), reply_to=client.replies)
    answer = await client.answer()
    assert (answer["outcome"], answer["first"], answer["duplicate"]) == ("accepted", first.first, True)
    await settled(service, 3)
    assert service.counters.ends == {End.ACCEPTED: 1, End.DEAD_LETTERED: 1, End.DUPLICATE: 1}


async def test_whoever_asked_is_told(service: Service, client: AmqpClient) -> None:
    command_id = await client.put(b"{}", reply_to=client.replies, correlation_id="visit")
    reply = await client.take(client.replies)
    assert reply.correlation_id == "visit"
    assert json.loads(reply.body) == {
        "command_id": command_id,
        "outcome": "failed",
        "reason": "invalid_command: Count: Key is missing",
        "first": None,
        "last": None,
        "position": None,
        "duplicate": False,
    }
    assert (await client.take(QUEUES.dead_queue)).reply_to == client.replies
    await settled(service, 1)
    assert service.counters.failed_replies == 0


async def test_a_good_command_with_nonsense_in_its_headers_is_answered(service: Service, client: AmqpClient) -> None:
    await client.put(GOOD, headers=NONSENSE, reply_to=client.replies)
    assert (await client.answer())["outcome"] == "accepted"
    assert service.counters.dead_letters == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"worker-attempts": 2**63 - 1, "worker-handler-failures": 2**63 - 1},
        {"worker-first-failure": "9999-12-31T23:59:59-14:00"},
        {"x-a": 1, "a" * 255: "b" * 60_000},
        {"share": 1e300, "deep": [0.1]},
        {"shop": NotUtf8("caf\xe9"), "deep": {"in": [NotUtf8("\xff")]}},
    ],
    ids=["great counts", "a far future", "long ones", "great fractions", "another encoding"],
)
async def test_headers_never_keep_a_message_from_being_put_aside(
    headers: dict[str, Any], service: Service, client: AmqpClient
) -> None:
    await client.put(GOOD, message_type="Explode", headers=headers)
    letter = await client.take(QUEUES.dead_queue)
    assert letter.headers["worker-reason"] == "handler_error"
    assert service.counters.ends[End.RETURNED] == 0


@pytest.mark.parametrize(
    "properties",
    [
        {"timestamp": 1_700_000_000_000_000_000},
        {"headers": {"at": {"when": 2**62}}},
        {"headers": {"deep": 1}, "content_type": "text/plain"},
    ],
    ids=["a time in nanoseconds", "a great number in the headers", "another content type"],
)
async def test_properties_that_only_the_broker_understands_do_not_stop_a_good_command(
    properties: dict[str, Any], service: Service, management: Management, vhost: str, client: AmqpClient
) -> None:
    message = {
        "properties": {"type": "Count", "message_id": str(uuid4()), "reply_to": client.replies, **properties},
        "routing_key": "tally",
        "payload": GOOD.decode(),
        "payload_encoding": "string",
    }
    path = f"/api/exchanges{urlsplit(vhost).path}/commands/publish"
    assert await asyncio.to_thread(management.request, "POST", path, message) == {"routed": True}
    assert (await client.answer())["outcome"] == "accepted"
    assert service.counters.received == 1


async def test_a_name_that_is_not_utf_8_is_put_aside(service: Service, client: AmqpClient) -> None:
    await client.put(GOOD, message_type=NotUtf8("caf\xe9"))
    letter = await client.take(QUEUES.dead_queue)
    assert letter.headers["worker-reason"] == "unknown_command"
    assert service.counters.received == 1
