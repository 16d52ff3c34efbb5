import asyncio
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import msgspec

from worker.counters import Counters
from worker.isolation.child import _decided
from worker.isolation.protocol import DecideRequest, DecideResponse
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler
from worker.settlement import Action

REQUEST = DecideRequest(
    domain_name="tally",
    within=0.01,
    message=CommandMessage(
        command_id=uuid4(), command_type="Count", body=b"{}", correlation_id="c", causation_id="c", headers={}
    ),
)


class Attempts:
    """A stand-in for the scheduler: each attempt ends in time, but is always followed by another."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    async def process(self, _: CommandMessage) -> Any:
        while True:
            self._counters.attempts += 1
            await asyncio.sleep(0)


async def test_all_attempts_together_keep_one_timeout() -> None:
    counters = Counters()
    response = await _decided(cast("Scheduler", Attempts(counters)), REQUEST, counters)
    assert response.answer is None
    assert response.failure is not None
    assert response.failure.verdict.action is Action.RETRY
    assert response.failure.verdict.reason == "handler_timeout"
    assert response.failure.text == "there was no answer within 0.01 s"
    assert response.attempts == counters.attempts > 0


class Raising:
    """A stand-in for the scheduler: a domain's code raises an error whose text cannot be encoded."""

    async def process(self, _: CommandMessage) -> Any:
        raise ValueError("half a character: \ud800")


async def test_an_error_with_any_text_can_be_sent_to_the_worker() -> None:
    """Otherwise the command would pass for one that killed the process."""
    response = await _decided(cast("Scheduler", Raising()), replace(REQUEST, within=60.0), Counters())
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(response), type=DecideResponse)
    assert sent.failure is not None
    assert sent.failure.text == "half a character: \\ud800"
    assert sent.failure.traceback.endswith("ValueError: half a character: \\ud800\n")
