"""The backoff: bounds that double, up to the longest, and begin anew."""

import asyncio

import pytest

from eventstore.backoff import Backoff


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Note between what each wait is chosen; the longest is."""
    found: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        found.append((low, high))
        return high

    monkeypatch.setattr("random.uniform", longest)
    return found


def test_bounds_double_until_the_longest_and_begin_anew(ranges: list[tuple[float, float]]) -> None:
    backoff = Backoff(first=0.5, longest=3.0)
    assert [backoff.next_wait() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.waits == 5
    backoff.reset()
    assert backoff.waits == 0
    assert backoff.next_wait() == 0.5
    assert {low for low, _ in ranges} == {0.0}


@pytest.mark.parametrize(("jitter", "least"), [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)])
def test_the_jitter_is_the_share_that_is_left_to_chance(
    ranges: list[tuple[float, float]], jitter: float, least: float
) -> None:
    Backoff(first=1.0, longest=8.0, jitter=jitter).next_wait()
    assert ranges == [(least, 1.0)]


async def test_a_rest_takes_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await Backoff(first=0.25, longest=0.5, jitter=0.0).rest()
    assert slept == [0.25]
