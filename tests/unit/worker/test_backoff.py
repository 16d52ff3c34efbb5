"""The backoff: bounds that double, up to the longest, and begin anew."""

import pytest

from worker.backoff import Backoff


async def test_bounds_double_until_the_longest_and_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[float] = []

    def highest(lowest: float, bound: float) -> float:
        assert lowest == 0
        bounds.append(bound)
        return 0.0

    monkeypatch.setattr("worker.backoff.random.uniform", highest)
    backoff = Backoff(first=0.5, longest=3.0)
    for _ in range(5):
        await backoff.rest()
    backoff.reset()
    await backoff.rest()
    assert bounds == [0.5, 1.0, 2.0, 3.0, 3.0, 0.5]
