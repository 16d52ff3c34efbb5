"""The library whose log is measured: loans and returns, all keys alike, so that a boundary holds some ten events."""

import os
import random
from collections.abc import Iterator

from tests.bench.subject import Loan

__all__ = ["HISTORIES", "LENT", "LONGEST_HISTORY", "RETURNED", "TYPES", "Library", "loans"]

LENT = "BookCopyLentToReader"
RETURNED = "BookCopyReturnedByReader"
TYPES = (LENT, RETURNED)
HISTORIES = {10: "of-ten", 100_000: "of-a-hundred-thousand"}
"""Books with so many events each, beside the others."""
LONGEST_HISTORY = int(os.environ.get("HISTORY", "100000"))
"""How many of them each has at most: fewer, for a run whose figures nobody reads."""
_EVENTS_OF_A_KEY = 5


def loans(size: int) -> Iterator[tuple[str, Loan]]:
    """Generate the log's events, type first: ``size`` of them, the same each time."""
    library = Library(size, seed=1)
    for number in range(size):
        yield TYPES[number % 2], library.loan()


class Library:
    """Chooses books and readers.

    Args:
        size: How many events the log was loaded with.
        seed: The same choices for the same seed.
    """

    def __init__(self, size: int, *, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311  nothing to be kept secret
        self._keys = max(size // _EVENTS_OF_A_KEY, 1)

    def loan(self) -> Loan:
        """Choose a book and a reader, each with some five events behind it."""
        choose = self._random.random
        return Loan(f"b{int(choose() * self._keys)}", f"r{int(choose() * self._keys)}")

    def untouched(self) -> Loan:
        """Choose a book and a reader that have no events."""
        number = self._random.getrandbits(62)
        return Loan(f"new-b{number}", f"new-r{number}")

    def backoff(self, attempt: int) -> float:
        """How long to wait after the conflict of this attempt: full jitter over 1 ms, 2 ms, 4 ms …, at most 50 ms."""
        return self._random.uniform(0, min(0.05, 0.001 * 2**attempt))
