import asyncio

import pytest
from opentelemetry.context import Context

from tests.unit.worker.staged import command
from worker.rounds.job import Job
from worker.rounds.retries import ConflictRetries


@pytest.mark.parametrize(("lost", "bound"), [(1, 0.05), (2, 0.1), (3, 0.2), (9, 0.5), (9999, 0.5)])
def test_waits_grow_with_full_jitter_from_50_ms_to_a_bound(lost: int, bound: float) -> None:
    retries = ConflictRetries()
    waits = [retries.wait(lost) for _ in range(500)]
    # Of 500 draws from a uniform range, the greatest is in the upper tenth and the least in the lowest, except in one
    # case of 10^22.
    assert 0.9 * bound < max(waits) <= bound
    assert 0 <= min(waits) < 0.1 * bound


async def test_each_use_of_the_lock_in_vain_doubles_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    retries = ConflictRetries()
    monkeypatch.setattr(retries, "wait", lambda _: 0.001)
    rested: asyncio.Queue[float] = asyncio.Queue()
    for holds in range(4):
        job = Job(command("Count", Key="a"), lambda *_: None, context=Context(), lost=3, holds=holds)
        retries.rest(job, lambda _, seconds: rested.put_nowait(seconds))
        assert await rested.get() == 0.001 * 2**holds
