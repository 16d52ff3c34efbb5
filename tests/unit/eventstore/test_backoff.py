"""The backoff: bounds that double up to a maximum, and are reset."""

import asyncio

import pytest

from eventstore.backoff import Backoff


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Record the range of each wait, and choose its upper bound."""
    found: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        found.append((low, high))
        return high

    monkeypatch.setattr("random.uniform", longest)
    return found


def test_bounds_double_up_to_the_maximum_and_are_reset(ranges: list[tuple[float, float]]) -> None:
    backoff = Backoff(first=0.5, longest=3.0)
    assert [backoff.next_wait() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.waits == 5
    backoff.reset()
    assert backoff.waits == 0
    assert backoff.next_wait() == 0.5
    assert {low for low, _ in ranges} == {0.0}


@pytest.mark.parametrize(("jitter", "least"), [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)])
def test_the_jitter_is_the_random_share_of_the_wait(
    ranges: list[tuple[float, float]], jitter: float, least: float
) -> None:
    Backoff(first=1.0, longest=8.0, jitter=jitter).next_wait()
    assert ranges == [(least, 1.0)]


async def test_rest_sleeps_for_the_next_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await Backoff(first=0.25, longest=0.5, jitter=0.0).rest()
    assert slept == [0.25]
