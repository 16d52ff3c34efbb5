from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import pytest

from eventstore import ACCEPTED, START, Receipt
from worker.amqp.sender import Sender
from worker.counters import Counters
from worker.errors import BrokerUnavailable, Unroutable
from worker.message import CommandMessage
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


class Failing:
    """Stands where the sender stands, and never sends."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    async def send(self, *_: Any, **__: Any) -> None:
        raise self._failure


@pytest.mark.parametrize(
    "failure",
    # The last ones are what the client library raises of what it cannot write.
    [Unroutable("gone"), BrokerUnavailable("down"), TypeError("too long"), ValueError("routing key too long")],
)
async def test_a_reply_that_fails_of_whatever_is_counted_and_no_more(failure: Exception) -> None:
    counters = Counters()
    replies = Replies(cast("Sender", Failing(failure)), counters, timeout=1.0)
    await replies.answered(MESSAGE, RECEIPT)
    await replies.failed(MESSAGE, "a reason")
    assert counters.failed_replies == 2
