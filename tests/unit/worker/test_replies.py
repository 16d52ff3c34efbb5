from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import pytest

from eventstore import ACCEPTED, START, Receipt
from worker.amqp.sender import Properties, Sender
from worker.counters import Counters
from worker.errors import BrokerBusy, BrokerUnavailable, Unroutable
from worker.message import CommandMessage, Reply, parse_reply
from worker.rounds.replies import Replies

MESSAGE = CommandMessage(
    command_id=uuid4(),
    command_type="Count",
    body=b"{}",
    correlation_id="visit",
    causation_id="visit",
    reply_to="there",
    headers={},
)
RECEIPT = Receipt(
    key=MESSAGE.command_id, outcome=ACCEPTED, first=1, last=1, position=START, recorded_at=datetime.now(UTC)
)


class Sent:
    """A stand-in for the sender that records the messages."""

    def __init__(self) -> None:
        self.replies: list[tuple[str, str | None, Reply]] = []

    async def send(self, body: bytes, properties: Properties, *, routing_key: str, **_: Any) -> None:
        self.replies.append((routing_key, properties.correlation_id, parse_reply(body)))


def replies_by(sent: Sent) -> Replies:
    return Replies(cast("Sender", sent), cast("Sender", sent), Counters(), timeout=1.0)


class Failing:
    """A stand-in for the sender that always fails."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    async def send(self, *_: Any, **__: Any) -> None:
        raise self._failure


@pytest.mark.parametrize(
    "failure",
    # The last ones are raised by the client library for values that it cannot write.
    [Unroutable("gone"), BrokerUnavailable("down"), TypeError("too long"), ValueError("routing key too long")],
)
async def test_a_failed_reply_is_only_counted(failure: Exception) -> None:
    counters = Counters()
    replies = Replies(cast("Sender", Failing(failure)), cast("Sender", None), counters, timeout=0.01)
    await replies.answered(MESSAGE, RECEIPT, duplicate=False)
    properties = Properties(reply_to="there", correlation_id="visit")
    await replies.failed(properties, MESSAGE, "a reason")
    await replies.failed(properties, None, "no message")
    assert counters.failed_replies == 3


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (
            Unroutable("no queue takes messages for there; nothing was stored"),
            "no consumer reads the reply queue there any more",
        ),
        (TypeError("too long"), "too long"),
    ],
)
async def test_a_failed_reply_is_not_reported_as_a_failed_command(
    failure: Exception, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The command is recorded: a report that nothing was stored would be wrong."""
    caplog.set_level("INFO")
    replies = Replies(cast("Sender", Failing(failure)), cast("Sender", None), Counters(), timeout=0.01)
    await replies.answered(MESSAGE, RECEIPT, duplicate=False)
    assert caplog.messages == [f"the command is settled, but its reply could not be sent: {why}"]


class Full:
    """A stand-in for the sender whose queue may be full; it does not hear of that without time.

    Attributes:
        is_full: Whether the queue is full.
        sent: How many messages it was given.
    """

    def __init__(self) -> None:
        self.is_full = True
        self.sent = 0

    async def send(self, *_: Any, **options: Any) -> None:
        self.sent += 1
        if not options["timeout"]:
            raise BrokerUnavailable("the broker did not answer in time")
        if self.is_full:
            raise BrokerBusy("its queue is full")


async def test_a_full_reply_queue_is_named_and_further_replies_do_not_wait_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A delivery is held meanwhile, and those of others need its room."""
    caplog.set_level("INFO")
    sender, counters = Full(), Counters()
    replies = Replies(cast("Sender", sender), cast("Sender", None), counters, timeout=0.3)
    await replies.answered(MESSAGE, RECEIPT, duplicate=False)
    assert sender.sent > 1
    sender.sent = 0
    await replies.answered(MESSAGE, RECEIPT, duplicate=False)
    assert sender.sent == 1
    assert caplog.messages == ["the command is settled, but its reply could not be sent: its queue is full"] * 2
    sender.is_full = False
    await replies.answered(MESSAGE, RECEIPT, duplicate=False)
    assert counters.failed_replies == 2
    sender.is_full, sender.sent = True, 0
    await replies.answered(MESSAGE, RECEIPT, duplicate=False)
    assert sender.sent > 1


@pytest.mark.parametrize("repeated", [True, False])
async def test_a_reply_says_whether_it_may_repeat_an_earlier_one(*, repeated: bool) -> None:
    sent = Sent()
    # A duplicate receipt does not show it: the broker may have delivered the command twice.
    receipt = RECEIPT.as_duplicate()
    await replies_by(sent).answered(MESSAGE, receipt, duplicate=repeated)
    ((queue, correlation_id, reply),) = sent.replies
    assert (queue, correlation_id, reply.duplicate) == ("there", "visit", repeated)


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        (Properties(reply_to="there", correlation_id="visit", message_id="no UUID"), "visit"),
        (Properties(reply_to="there", message_id="no UUID"), "no UUID"),
        (Properties(reply_to="there"), None),
        (Properties(message_id="no UUID"), None),
    ],
)
async def test_the_sender_of_an_invalid_command_gets_a_reply_if_the_command_has_an_id(
    properties: Properties, told: str | None
) -> None:
    sent = Sent()
    await replies_by(sent).failed(properties, None, "bad_message_id: …")
    expected = [] if told is None else [("there", told, None, "failed", "bad_message_id: …")]
    assert [
        (queue, correlation_id, reply.command_id, reply.outcome, reply.reason)
        for queue, correlation_id, reply in sent.replies
    ] == expected


async def test_a_failure_with_any_text_is_reported() -> None:
    sent, counters = Sent(), Counters()
    replies = Replies(cast("Sender", sent), cast("Sender", sent), counters, timeout=1.0)
    await replies.failed(Properties(reply_to="there"), MESSAGE, "handler_error: \ud800\x00é")
    ((_, _, reply),) = sent.replies
    assert (reply.outcome, reply.reason) == ("failed", "handler_error: \\ud800\x00é")
    assert counters.failed_replies == 0
