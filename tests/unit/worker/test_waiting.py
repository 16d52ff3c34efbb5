"""Waiting for the first of several conditions."""

import asyncio

from worker.waiting import first_of


async def test_an_event_a_task_and_a_time_each_end_the_wait() -> None:
    never, now = asyncio.Event(), asyncio.Event()
    now.set()
    hanging, ended = asyncio.create_task(never.wait()), asyncio.create_task(now.wait())
    async with asyncio.timeout(30):
        await first_of(never, now, tasks=[hanging])
        await first_of(never, tasks=[hanging, ended])
        await first_of(never, tasks=[hanging], within=0.001)
    assert not hanging.done()
    hanging.cancel()


async def test_a_cancelled_wait_leaves_only_the_given_tasks() -> None:
    hanging = asyncio.create_task(asyncio.Event().wait())
    waiting = asyncio.create_task(first_of(asyncio.Event(), tasks=[hanging]))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task(), hanging}
    hanging.cancel()
