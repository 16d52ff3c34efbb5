"""The settler: every delivery is settled, after any failure."""

import asyncio
from types import SimpleNamespace
from typing import Any, NoReturn, cast
from uuid import uuid4

import pytest

from tests.unit.worker.wire import Wire
from worker.amqp.delivery import Delivery
from worker.amqp.delivery_reader import Received
from worker.counters import Counters, End
from worker.rounds.settler import Settler
from worker.settings import Settings
from worker.topology import Topology


class Broken:
    """A stand-in for the scheduler that raises."""

    def knows(self, _: str) -> bool:
        return True

    def submit(self, _: object) -> NoReturn:
        raise LookupError("a bug")


def settling(scheduler: Broken, counters: Counters) -> Settler:
    absent = cast("Any", None)
    return Settler(
        cast("Any", scheduler),
        Topology("tally"),
        store=absent,
        sender=absent,
        replies=absent,
        isolator=absent,
        breaker=absent,
        counters=counters,
        settings=Settings(),
        server=("localhost", 5672),
    )


async def test_a_delivery_that_cannot_be_processed_is_requeued(caplog: pytest.LogCaptureFixture) -> None:
    wire, counters = Wire(), Counters()
    settler = settling(Broken(), counters)
    properties = SimpleNamespace(
        headers={}, message_id=str(uuid4()), message_type="Count", correlation_id=None, reply_to=None, timestamp=None
    )
    message = Received(1, cast("Any", properties), b"{}", is_redelivered=False)
    settler.take(Delivery(wire.acks, message, counters))
    (task,) = settler._settlements._tasks
    await task
    assert (wire.returned, counters.ends) == ([1], {End.RETURNED: 1})
    assert "handling delivery 1 failed" in caplog.text


async def test_a_drain_has_one_deadline_for_decisions_and_replies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time spent on decisions is not available again for replies."""
    seconds = 2.0
    given: list[float] = []

    class Slow(Broken):
        async def drain(self, deadline: float, _: object) -> int:
            await asyncio.sleep(deadline)
            return 0

        async def close(self) -> None:
            pass

    wire, counters = Wire(), Counters()
    settler = settling(Slow(), counters)
    properties = SimpleNamespace(headers={})
    delivery = Delivery(wire.acks, Received(1, cast("Any", properties), b"{}", is_redelivered=False), counters)
    never: Any = asyncio.Event().wait
    settler._settlements.begin(delivery, never)
    finish = settler._settlements.finish

    async def finished(left: float) -> int:
        given.append(left)
        return await finish(left)

    monkeypatch.setattr(settler._settlements, "finish", finished)
    assert await settler.drain(asyncio.get_running_loop().time() + seconds) == 1
    # Except for rounding.
    assert given[0] < 0.1
    assert counters.in_flight == 0
