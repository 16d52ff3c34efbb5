"""Whoever is told to stop while the broker is asked for something stops, at whichever call that comes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiormq
import pytest

from worker.amqp.connection import Link
from worker.amqp.consumer import Consumer
from worker.amqp.dead_queue import DeadQueue
from worker.amqp.delivery import Delivery
from worker.amqp.rights import missing_rights
from worker.amqp.sender import Sender
from worker.counters import Counters
from worker.topology import Topology

TALLY = Topology("tally", has_schedule=True)


class Calls:
    """Counts the library's calls that wait for the broker, and has a task told to stop at one of them.

    Args:
        at: Which, from 1; at none by default.
        is_answered: Whether the broker has answered by then, or has not been asked.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int = 0, *, is_answered: bool = False) -> None:
        self.count = 0
        self.task: asyncio.Task[None] | None = None
        real = aiormq.Channel.rpc

        async def rpc(channel: aiormq.Channel, *args: Any, **kwargs: Any) -> Any:
            self.count += 1
            is_it = self.count == at and self.task is not None
            if is_it and not is_answered:
                asyncio.get_running_loop().call_soon(self._stop)
            try:
                return await real(channel, *args, **kwargs)
            finally:  # the answer to the end of a channel is that it is closed
                if is_it and is_answered:
                    self._stop()

        monkeypatch.setattr(aiormq.Channel, "rpc", rpc)

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run some work; return whether it was cancelled."""
        self.task = asyncio.create_task(work())
        await asyncio.wait({self.task}, timeout=20)
        assert self.task.done()
        return self.task.cancelled()

    def _stop(self) -> None:
        if self.task is not None:
            self.task.cancel()


async def _consume(url: str) -> None:
    consumer = Consumer(url, TALLY, prefetch=1, counters=Counters(), deliver=_ignore, may_begin=_at_once)
    try:
        await consumer.start()
        await asyncio.sleep(0)
        await consumer.stop()
    finally:
        await consumer.close()


async def _send(url: str) -> None:
    sender = Sender(url, name="test")
    try:
        await sender.declare(TALLY)
    finally:
        await sender.close()


async def _look(url: str) -> None:
    async with DeadQueue.open(url, TALLY) as queue:
        await queue.count()
        async with queue.walk(1):
            pass


async def _ask_for_rights(url: str) -> None:
    link = Link(url, name="test")
    try:
        await link.wire()
        await missing_rights(link, TALLY)
    finally:
        await link.close()


async def _begin_again(url: str) -> None:
    link = Link(url, name="test")
    try:
        await link.wire()
        await link.reset()
        await link.wire()
    finally:
        await link.close()


def _ignore(_: Delivery) -> None:
    pass


async def _at_once() -> None:
    pass


@pytest.mark.parametrize("work", [_consume, _send, _look, _ask_for_rights, _begin_again])
async def test_whoever_is_told_to_stop_stops(
    vhost: str, work: Callable[[str], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        assert not await Calls(patch).run(lambda: _consume(vhost))  # what is missing is there by now
    with monkeypatch.context() as patch:
        calls = Calls(patch)
        assert not await calls.run(lambda: work(vhost))
    assert calls.count > 1
    unheard = []
    for is_answered in (False, True):
        for at in range(1, calls.count + 1):
            with monkeypatch.context() as patch:
                if not await Calls(patch, at, is_answered=is_answered).run(lambda: work(vhost)):
                    unheard.append((at, is_answered))
    assert not unheard
