"""Retries of conflicts, inside one delivery."""

from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from eventstore import ConflictError
from worker.settings import Settings

__all__ = ["conflict_retries"]

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 0.5


def conflict_retries(settings: Settings) -> AsyncRetrying:
    """Say how often one delivery is decided again because of conflicts.

    A new value for every command: one that is shared counts the attempts of all who share it. Waits have full jitter,
    the first up to 50 ms. Only conflicts are tried again; a cancellation, above all, is not. When it gives up, the
    last conflict is raised as it is.
    """
    return AsyncRetrying(
        retry=retry_if_exception_type(ConflictError),
        wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
        stop=stop_after_attempt(settings.worker_conflict_attempts)
        | stop_before_delay(settings.worker_conflict_seconds),
        reraise=True,
    )
