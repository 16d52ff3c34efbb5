"""Argument checks that every engine shares."""

from eventstore.errors import InvalidRequest, TooFarBehind
from eventstore.held import LONGEST_HELD_READ
from eventstore.position import LAST_NUMBER, Position
from eventstore.question import Question

__all__ = ["check_batch_size", "check_held_read", "check_hold", "check_limit"]

# Seconds. While one caller holds the lock, all other appends wait; callers take it only after losing several attempts.
_LONGEST_HOLD = 10
_LONGEST_PATIENCE = 60


def check_batch_size(batch_size: int) -> None:
    """Check the batch size of the store's iterators.

    Raises:
        InvalidRequest: The batch size is below 1 or above ``LAST_NUMBER``.
    """
    if not 0 < batch_size <= LAST_NUMBER:
        raise InvalidRequest(f"a batch holds 1 or more, and {LAST_NUMBER} at most, not {batch_size}")


def check_hold(limit: float, patience: float) -> None:
    """Check the arguments of ``EventStore.exclusive``.

    Raises:
        InvalidRequest: ``limit`` is not above 0 and up to 10 seconds, or ``patience`` is not above 0 and up to 60
            seconds.
    """
    if not 0 < limit <= _LONGEST_HOLD:
        raise InvalidRequest(f"the lock can be held for more than 0 and at most {_LONGEST_HOLD} seconds, not {limit}")
    if not 0 < patience <= _LONGEST_PATIENCE:
        raise InvalidRequest(
            f"the wait for the lock must be more than 0 and at most {_LONGEST_PATIENCE} s, not {patience}"
        )


def check_held_read(question: Question, head: Position) -> None:
    """Check that a question reads few enough events to be answered under the lock.

    Raises:
        TooFarBehind: A filter would be read from more than ``LONGEST_HELD_READ`` events below the head.
    """
    least = min((each.above for each in question.filters), default=head.number)
    if head.number - least > LONGEST_HELD_READ:
        raise TooFarBehind(
            f"a read under the lock begins at most {LONGEST_HELD_READ} events below the head ({head.number}), "
            f"not at {least}: read up to the head first, then hold the lock"
        )


def check_limit(limit: int) -> None:
    """Check the largest number of events that a caller asks for.

    Raises:
        InvalidRequest: The limit is below 1 or above ``LAST_NUMBER``.
    """
    if not 0 < limit <= LAST_NUMBER:
        raise InvalidRequest(f"a limit is 1 or more, and {LAST_NUMBER} at most, not {limit}")
