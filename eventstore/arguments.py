"""Arguments that every engine checks alike."""

from eventstore.errors import InvalidRequest, TooFarBehind
from eventstore.held import LONGEST_HELD_READ
from eventstore.position import LAST_NUMBER, Position
from eventstore.question import Question

__all__ = ["check_batch_size", "check_held_read", "check_hold", "check_limit"]

# Seconds. Whoever asks for the lock by itself has lost some attempts; whoever holds it stops everybody.
_LONGEST_HOLD = 10
_LONGEST_PATIENCE = 60


def check_batch_size(batch_size: int) -> None:
    """Check an argument of the store's iterators.

    Raises:
        InvalidRequest: Nothing would ever be fetched, or more than can be numbered.
    """
    if not 0 < batch_size <= LAST_NUMBER:
        raise InvalidRequest(f"a batch holds 1 or more, and {LAST_NUMBER} at most, not {batch_size}")


def check_hold(limit: float, patience: float) -> None:
    """Check the arguments of ``EventStore.exclusive``.

    Raises:
        InvalidRequest: A number of seconds is out of range.
    """
    if not 0 < limit <= _LONGEST_HOLD:
        raise InvalidRequest(f"the lock is held for more than 0 and at most {_LONGEST_HOLD} seconds, not {limit}")
    if not 0 < patience <= _LONGEST_PATIENCE:
        raise InvalidRequest(f"one waits for the lock more than 0 and at most {_LONGEST_PATIENCE} s, not {patience}")


def check_held_read(question: Question, head: Position) -> None:
    """Check that a question is short enough to be answered under the lock.

    Raises:
        TooFarBehind: It is not.
    """
    least = min((each.above for each in question.filters), default=head.number)
    if head.number - least > LONGEST_HELD_READ:
        raise TooFarBehind(
            f"a read under the lock begins at most {LONGEST_HELD_READ} events below the head ({head.number}), "
            f"not at {least}: read up to the head first, then hold the lock"
        )


def check_limit(limit: int) -> None:
    """Check how many events a caller wants at most.

    Raises:
        InvalidRequest: None, or more than can be numbered.
    """
    if not 0 < limit <= LAST_NUMBER:
        raise InvalidRequest(f"a limit is 1 or more, and {LAST_NUMBER} at most, not {limit}")
