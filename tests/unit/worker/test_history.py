from collections.abc import Callable
from typing import Any

import pytest
from tenacity import RetryCallState

from eventstore import ConcurrencyConflict
from worker.rounds.retries import conflict_retries
from worker.settings import Settings

CONFLICT = ConcurrencyConflict(sequence_number=1, event_type="Counted", metadata={})


def longest_wait(attempt: int, waits: Callable[[RetryCallState], float]) -> float:
    state = RetryCallState(retry_object=conflict_retries(Settings()), fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    return max(waits(state) for _ in range(500))


def test_waits_grow_with_full_jitter_from_50_ms_to_a_bound() -> None:
    waits: Any = conflict_retries(Settings()).wait
    for attempt, bound in ((1, 0.05), (2, 0.1), (3, 0.2), (9, 0.5)):
        longest = longest_wait(attempt, waits)
        # Of 500 draws from a uniform range the greatest lies in its upper tenth, but for one case in 10^22.
        assert 0.9 * bound < longest <= bound


def test_each_call_counts_for_itself() -> None:
    assert conflict_retries(Settings()) is not conflict_retries(Settings())


@pytest.mark.parametrize(("failure", "attempts"), [(CONFLICT, 2), (ValueError("a bug"), 1), (KeyError("x"), 1)])
async def test_only_conflicts_are_tried_again(failure: Exception, attempts: int) -> None:
    made = 0

    async def fail() -> None:
        nonlocal made
        made += 1
        raise failure

    with pytest.raises(type(failure)):
        await conflict_retries(Settings(worker_conflict_attempts=2))(fail)
    assert made == attempts
