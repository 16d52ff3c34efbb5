"""The information in a dead letter, from a worker or from the broker."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.unit.worker.letters import DIED, ID, TALLY, letter
from worker.amqp.sender import Properties
from worker.dead_letters.letter import BROKER_REASONS, DeadLetter, same_id

TRACE = "0af7651916cd43dd8448eb211c80319c"
HOUR = timedelta(hours=1)


def death(reason: str, queue: str, time: datetime = DIED) -> dict[str, Any]:
    return {"count": 1, "reason": reason, "queue": queue, "time": time, "exchange": "commands"}


def test_a_workers_letter_is_read_completely() -> None:
    found = letter(
        {
            "worker-error": "ZeroDivisionError: a",
            "worker-traceback": "Traceback",
            "worker-attempts": 3,
            "worker-first-failure": (DIED - HOUR).isoformat(),
            "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        },
        body=b"12345",
        correlation_id="visit",
        reply_to="there",
        timestamp=DIED - 2 * HOUR,
    )
    assert (found.message_id, found.has_own_id, found.command_type, found.domain_name) == (ID, True, "Count", "tally")
    assert (found.reason, found.error, found.traceback) == ("handler_error", "ZeroDivisionError: a", "Traceback")
    assert (found.died_at, found.attempts, found.size) == (DIED, 3, 5)
    assert (found.trace_id, found.correlation_id, found.reply_to) == (TRACE, "visit", "there")


def test_a_letter_from_the_broker_has_the_brokers_reason() -> None:
    # It had failed before and was sent to the retry queue.
    retried = {"worker-reason": "store_transient", "worker-error": "a deadlock", "worker-traceback": "old"}
    deaths = [death("delivery_limit", TALLY.queue, DIED + HOUR), death("expired", TALLY.retry_queue)]
    found = letter({**retried, "x-death": deaths})
    assert (found.reason, found.error) == ("delivery_limit", BROKER_REASONS["delivery_limit"])
    assert (found.died_at, found.traceback) == (DIED + HOUR, None)


def test_a_letter_from_the_broker_out_of_a_shard_has_the_brokers_reason() -> None:
    sharded = replace(TALLY, shards=8)
    deaths: Any = [death("delivery_limit", sharded.shard_queue(7), DIED + HOUR)]
    properties = Properties(message_id=ID, message_type="Count", headers={"x-death": deaths})
    assert DeadLetter.read(properties, b"{}", sharded).reason == "delivery_limit"
    assert DeadLetter.read(properties, b"{}", TALLY).reason == "unknown"


def test_the_retry_queue_is_not_a_reason() -> None:
    found = letter({"x-death": [death("expired", TALLY.retry_queue, DIED + HOUR)]})
    assert (found.reason, found.died_at) == ("handler_error", DIED)


@pytest.mark.parametrize(
    ("timestamp", "first_failure", "earliest"),
    [
        (DIED - 2 * HOUR, DIED - HOUR, DIED - 2 * HOUR),
        (DIED + 9 * HOUR, DIED - HOUR, DIED - HOUR),
        ((DIED - HOUR).replace(tzinfo=None), None, DIED - HOUR),
        (None, None, DIED),
    ],
    ids=["when it was sent", "a publisher's clock that is ahead", "a time without a zone", "when it died"],
)
def test_its_age_counts_from_the_earliest_known_time(
    timestamp: datetime | None, first_failure: datetime | None, earliest: datetime
) -> None:
    headers = {"worker-first-failure": first_failure.isoformat()} if first_failure else {}
    assert letter(headers, timestamp=timestamp).published_at == earliest


@pytest.mark.parametrize(
    "headers",
    [
        {},
        None,
        {
            "worker-reason": 5,
            "worker-error": [1],
            "worker-failed-at": "yesterday",
            "worker-attempts": "many",
            "worker-replayed-at": {"a": 1},
            "traceparent": 7,
            "x-death": "never",
        },
        {"x-death": [5, {}, {"queue": TALLY.queue}, {"queue": 7, "reason": "rejected"}]},
        {"x-death": None, "traceparent": f"00-{TRACE}"},
    ],
)
def test_a_message_without_useful_headers_can_be_read(headers: dict[str, Any] | None) -> None:
    found = DeadLetter.read(Properties(headers=headers), b"", TALLY)
    assert (found.message_id, found.has_own_id, found.command_type, found.reason) == (None, False, None, "unknown")
    assert (found.died_at, found.published_at, found.trace_id, found.replayed_at) == (None, None, None, None)


def test_an_id_assigned_by_a_worker_is_not_the_publishers() -> None:
    assert letter().has_own_id
    assert not letter({"worker-assigned-id": True}).has_own_id
    assert not letter(message_id="").has_own_id


def test_the_json_has_all_fields() -> None:
    headers: dict[str, Any] = {"n": 1, "bytes": bytearray(b"\xffa"), "deep": [{"at": datetime(2026, 1, 2, tzinfo=UTC)}]}
    told = json.loads(msgspec.json.encode(letter(headers, body=b"\xff").document()))
    assert (told["id"], told["own_id"], told["reason"], told["size"]) == (ID, True, "handler_error", 1)
    assert (told["body"], told["body_base64"]) == (None, "/w==")
    assert {name: told["headers"][name] for name in headers} == {
        "n": 1,
        "bytes": "�a",
        "deep": [{"at": "2026-01-02T00:00:00Z"}],
    }
    assert letter(body=b'{"Key": 1}').document()["body"] == '{"Key": 1}'


def test_a_listed_letter_is_small_and_knows_the_bodys_size() -> None:
    kept = letter({"worker-traceback": "t" * 10_000}, body=b"b" * 10_000).without_content()
    assert (kept.size, kept.body, kept.headers, kept.traceback) == (10_000, b"", {}, None)


def test_a_list_shows_the_truncated_first_line_of_an_error() -> None:
    told = "KeyError in evolve (/shop/shop.py:17): 'colour'"
    kept = letter({"worker-error": f"{told}\nand more"}).without_content()
    assert kept.brief_error == kept.summary()["error"] == told
    long = letter({"worker-error": "e" * 10_000}).without_content().brief_error
    assert long == "e" * 159 + "…"
    assert letter().without_content().brief_error is None


def test_ids_are_compared_in_canonical_form() -> None:
    assert same_id(ID.upper()) == same_id(ID.replace("-", "")) == ID
    assert same_id("Order-7") == "Order-7"
