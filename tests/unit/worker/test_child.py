import asyncio
from typing import Any, cast
from uuid import uuid4

from worker.counters import Counters
from worker.isolation.child import _decided
from worker.isolation.protocol import DecideRequest
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler
from worker.settlement import Action

ERRAND = DecideRequest(
    domain_name="tally",
    message=CommandMessage(
        command_id=uuid4(), command_type="Count", body=b"{}", correlation_id="c", causation_id="c", headers={}
    ),
)


class Attempts:
    """Stands where the scheduler stands: each attempt ends in time, but there is always another."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    async def process(self, _: CommandMessage) -> Any:
        while True:
            self._counters.attempts += 1
            await asyncio.sleep(0)


async def test_all_attempts_together_keep_one_timeout() -> None:
    counters = Counters()
    report = await _decided(cast("Scheduler", Attempts(counters)), ERRAND, counters, within=0.01)
    assert report.processed is None
    assert report.failure is not None
    assert report.failure.verdict.action is Action.RETRY
    assert report.failure.verdict.reason == "handler_timeout"
    assert report.failure.text == "there was no answer within 0.01 s"
    assert report.attempts == counters.attempts > 0
