"""The queue browser: its prefetch, and when it assumes that the queue has no more messages."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.amqp import queue_browser
from worker.amqp.connection import WireChannel
from worker.amqp.queue_browser import QueueBrowser, next_width


class SlowWire:
    """A channel whose only message has left the queue, and arrives around the answer to a later request.

    Args:
        at: The number of that answer.
        first: Whether the message comes before the answer, as on an ordered connection, or after it.
        is_there: Whether it counts as ready until then, as on a broker that has not delivered it yet.
    """

    def __init__(self, at: int, *, first: bool, is_there: bool = False) -> None:
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_consumer_cancel_callbacks: set[object] = set()
        self.asked = 0
        self._at = at
        self._first = first
        self._is_there = is_there
        self._deliver: Callable[[Any], Awaitable[None]] | None = None

    async def basic_qos(self, **_: int) -> None:
        pass

    async def basic_consume(self, _: str, deliver: Callable[[Any], Awaitable[None]], **__: str) -> None:
        self._deliver = deliver

    async def queue_declare(self, _: str, **__: bool) -> SimpleNamespace:
        self.asked += 1
        if self.asked == self._at and self._deliver is not None:
            letter = SimpleNamespace(delivery_tag=1, body=b"{}", header=SimpleNamespace(properties=None))
            arriving = asyncio.ensure_future(self._deliver(letter))
            if self._first:
                await arriving
        return SimpleNamespace(message_count=int(self._is_there and self.asked < self._at))


@pytest.mark.parametrize(
    ("width", "largest", "following"),
    [
        (50, 0, 100),
        (50, 200, 100),
        (600, 200, 1000),
        (1000, 200, 1000),
        # Prefetched messages of any size fit into 16 MiB, but at least one is prefetched.
        (1000, 1024 * 1024, 16),
        (50, 2**30, 1),
        (1, 200, 2),
    ],
)
def test_the_prefetch_is_large_for_small_letters_and_small_for_large_ones(
    width: int, largest: int, following: int
) -> None:
    assert next_width(width, largest) == following


@pytest.mark.parametrize(("at", "first"), [(1, True), (3, True), (1, False), (2, False)])
async def test_a_letter_in_flight_is_waited_for(monkeypatch: pytest.MonkeyPatch, at: int, *, first: bool) -> None:
    monkeypatch.setattr(queue_browser, "_PATIENCE", 0)
    wire = SlowWire(at, first=first)
    browser = QueueBrowser(cast("WireChannel", wire), "tally.commands.dead", 1)
    assert [held.body async for held in browser] == [b"{}"]
    assert wire.asked == at


async def test_a_letter_missing_after_three_requests_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_browser, "_PATIENCE", 0)
    wire = SlowWire(99, first=True)
    assert [held async for held in QueueBrowser(cast("WireChannel", wire), "tally.commands.dead", 1)] == []
    assert wire.asked == 3


async def test_a_ready_letter_that_is_not_delivered_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_browser, "_PATIENCE", 0)
    wire = SlowWire(20, first=True, is_there=True)
    browser = QueueBrowser(cast("WireChannel", wire), "tally.commands.dead", 1)
    assert [held.body async for held in browser] == [b"{}"]
