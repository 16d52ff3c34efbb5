"""Partitions ahead of the log: an append during their creation is not missed."""

import asyncio
from typing import Any, cast

from eventstore.postgres.appends.room import Room
from eventstore.postgres.connections.pool import Pool

SIZE = 10


class SlowPrimary:
    """Answers as ``eventstore.extend_v1`` does, each time when the test lets it."""

    def __init__(self, *dues: int) -> None:
        self.dues = list(dues)
        self.asked = asyncio.Semaphore(0)
        self.answer = asyncio.Semaphore(0)

    async def fetch(self, _sql: str, _values: list[int], *, seconds: float) -> list[Any]:
        assert seconds > 0
        due = self.dues.pop(0)
        self.asked.release()
        await self.answer.acquire()
        return [(due, due + SIZE + SIZE // 2 - 1, SIZE)]


async def run_ready_tasks() -> None:
    """Run the answered task until it waits or ends."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_appends_during_the_creation_of_partitions_count() -> None:
    primary = SlowPrimary(16, 116)
    room = Room(cast("Pool", primary))
    room.note(1)
    await primary.asked.acquire()
    room.note(100)  # the last append: no later one triggers a check
    primary.answer.release()
    async with asyncio.timeout(60):
        await primary.asked.acquire()
    primary.answer.release()
    await run_ready_tasks()
    assert room.partitions == 3.0
    await room.close()


async def test_while_another_process_creates_partitions_each_append_asks_once() -> None:
    primary = SlowPrimary(1, 1, 1)
    room = Room(cast("Pool", primary))
    for number, asked in ((5, 2), (6, 1)):
        room.note(number)
        for _ in range(asked):
            await primary.asked.acquire()
            primary.answer.release()
        await run_ready_tasks()
    assert primary.dues == []
    await room.close()
