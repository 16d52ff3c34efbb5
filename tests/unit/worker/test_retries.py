import pytest

from worker.rounds.retries import ConflictRetries


@pytest.mark.parametrize(("lost", "bound"), [(1, 0.05), (2, 0.1), (3, 0.2), (9, 0.5), (9999, 0.5)])
def test_waits_grow_with_full_jitter_from_50_ms_to_a_bound(lost: int, bound: float) -> None:
    retries = ConflictRetries()
    waits = [retries.wait(lost) for _ in range(500)]
    # Of 500 draws from a uniform range, the greatest is in the upper tenth and the least in the lowest, except in one
    # case of 10^22.
    assert 0.9 * bound < max(waits) <= bound
    assert 0 <= min(waits) < 0.1 * bound
