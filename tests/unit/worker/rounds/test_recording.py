"""Reads are gathered while a round is recorded, and never wait without one."""

import asyncio

import pytest

from tests.unit.worker.staged import others_come
from worker.rounds.recording import Recording


async def stepping(recording: Recording, waiting: list[int], since: int) -> "asyncio.Task[None]":
    task = asyncio.create_task(recording.step(waiting, since))
    await others_come()
    return task


async def test_no_read_waits_while_nothing_is_recorded() -> None:
    assert (await stepping(Recording(), [1], 0)).done()


@pytest.mark.parametrize("event", ["enough", "answered", "sent"])
async def test_few_reads_wait_for_more_for_the_answer_or_for_the_next_round(event: str) -> None:
    recording = Recording()
    recording.begin(9)
    waiting = [1]
    task = await stepping(recording, waiting, recording.begun)
    for number in (2, 3, 4):
        waiting.append(number)
        recording.more(waiting)
    await others_come()
    assert not task.done()
    if event == "enough":
        waiting.append(5)
        recording.more(waiting)
    elif event == "answered":
        recording.end()
    else:
        recording.end()
        recording.begin(9)
    await asyncio.wait_for(task, 30)


async def test_a_read_from_before_the_round_does_not_wait() -> None:
    recording = Recording()
    since = recording.begun
    recording.begin(9)
    assert (await stepping(recording, [1], since)).done()


async def test_a_small_round_delays_no_read() -> None:
    recording = Recording()
    recording.begin(2)
    assert (await stepping(recording, [1], recording.begun)).done()
