import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.amqp.connection import WireChannel
from worker.amqp.delivery import Delivery
from worker.counters import Counters, End
from worker.rounds.dispatcher import Dispatcher


class Wire:
    """A channel that keeps what it was told."""

    def __init__(self) -> None:
        self.is_closed = False
        self.acknowledged: list[int] = []
        self.returned: list[int] = []

    async def basic_ack(self, tag: int, **_: Any) -> None:
        if self.is_closed:
            raise RuntimeError("closed")
        self.acknowledged.append(tag)

    async def basic_nack(self, tag: int, **_: Any) -> None:
        if self.is_closed:
            raise RuntimeError("closed")
        self.returned.append(tag)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def counters() -> Counters:
    return Counters()


def delivery(wire: Wire, counters: Counters, tag: int) -> Delivery:
    message = SimpleNamespace(body=b"{}", delivery_tag=tag, redelivered=False, header=SimpleNamespace(properties=None))
    return Delivery(cast("WireChannel", wire), cast("Any", message), counters)


async def accept(delivery: Delivery) -> None:
    await delivery.acknowledge(End.ACCEPTED)


class Holding:
    """Handles deliveries, but not before it is told to."""

    def __init__(self, started: int) -> None:
        self._awaited = started
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.running = 0
        self.most = 0

    async def __call__(self, delivery: Delivery) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        if self.running == self._awaited:
            self.started.set()
        await self.release.wait()
        self.running -= 1
        await delivery.acknowledge(End.ACCEPTED)


async def test_no_more_run_than_allowed_and_the_rest_goes_back_on_a_drain(wire: Wire, counters: Counters) -> None:
    dispatcher = Dispatcher(2)
    handle = Holding(2)
    for tag in range(1, 6):
        dispatcher.submit(delivery(wire, counters, tag), handle)
    await handle.started.wait()
    draining = asyncio.create_task(dispatcher.drain(60))
    handle.release.set()
    assert await draining == 0
    assert handle.most == 2
    assert wire.acknowledged == [1, 2]
    assert wire.returned == [3, 4, 5]
    assert counters.ends == {End.ACCEPTED: 2, End.RETURNED: 3}
    assert counters.balanced


async def test_what_comes_in_during_a_drain_goes_back(wire: Wire, counters: Counters) -> None:
    dispatcher = Dispatcher(1)
    handle = Holding(1)
    dispatcher.submit(delivery(wire, counters, 1), handle)
    await handle.started.wait()
    draining = asyncio.create_task(dispatcher.drain(60))
    await asyncio.sleep(0)  # lets the drain begin
    dispatcher.submit(delivery(wire, counters, 2), handle)
    handle.release.set()
    await draining
    assert (wire.acknowledged, wire.returned) == ([1], [2])
    assert counters.in_flight == 0


async def test_what_does_not_finish_in_time_is_left_to_the_broker(wire: Wire, counters: Counters) -> None:
    dispatcher = Dispatcher(1)
    handle = Holding(1)
    dispatcher.submit(delivery(wire, counters, 1), handle)
    await handle.started.wait()
    assert await dispatcher.drain(0) == 1
    assert (wire.acknowledged, wire.returned) == ([], [])
    assert counters.ends == {End.RETURNED: 1}


async def test_a_channel_that_is_gone_costs_nothing_but_the_delivery(wire: Wire, counters: Counters) -> None:
    dispatcher = Dispatcher(1)
    handle = Holding(1)
    for tag in (1, 2):
        dispatcher.submit(delivery(wire, counters, tag), handle)
    await handle.started.wait()
    wire.is_closed = True
    handle.release.set()
    done = asyncio.Event()
    alive = Wire()

    async def accept_last(delivery: Delivery) -> None:
        await accept(delivery)
        done.set()

    dispatcher.submit(delivery(alive, counters, 3), accept_last)
    await done.wait()
    assert await dispatcher.drain(60) == 0
    assert alive.acknowledged == [3]
    assert counters.ends == {End.LOST_CHANNEL: 2, End.ACCEPTED: 1}


async def test_a_settlement_that_fails_gives_the_delivery_back_and_the_runner_goes_on(
    wire: Wire, counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher(1)
    done = asyncio.Event()

    async def fail(_: Delivery) -> None:
        raise KeyError("a bug in settling")

    async def accept_last(delivery: Delivery) -> None:
        await accept(delivery)
        done.set()

    dispatcher.submit(delivery(wire, counters, 1), fail)
    dispatcher.submit(delivery(wire, counters, 2), accept_last)
    await done.wait()
    await dispatcher.drain(60)
    assert (wire.returned, wire.acknowledged) == ([1], [2])
    assert "settling delivery 1 failed" in caplog.text


async def test_settling_twice_is_a_bug_that_shows(wire: Wire, counters: Counters) -> None:
    one = delivery(wire, counters, 1)
    await one.acknowledge(End.ACCEPTED)
    with pytest.raises(RuntimeError, match="settled before"):
        one.abandon()
    assert counters.balanced
