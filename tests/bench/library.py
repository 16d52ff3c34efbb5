"""The library whose log is measured: loans and returns, evenly distributed, so that a boundary has about ten events."""

import os
import random
from collections.abc import Iterator

from tests.bench.subject import Loan

__all__ = ["HISTORIES", "LENT", "LONGEST_HISTORY", "RETURNED", "TYPES", "Library", "loans"]

LENT = "BookCopyLentToReader"
RETURNED = "BookCopyReturnedByReader"
TYPES = (LENT, RETURNED)
HISTORIES = {10: "of-ten", 100_000: "of-a-hundred-thousand"}
"""Additional books with these numbers of events."""
LONGEST_HISTORY = int(os.environ.get("HISTORY", "100000"))
"""Limit of these numbers: lower for a run that only tests the benchmarks."""
_EVENTS_OF_A_KEY = 5


def loans(size: int) -> Iterator[tuple[str, Loan]]:
    """Generate the log's ``size`` events, type first; the same ones each time."""
    library = Library(size, seed=1)
    for number in range(size):
        yield TYPES[number % 2], library.loan()


class Library:
    """Chooses books and readers.

    Args:
        size: The number of events that the log was loaded with.
        seed: The same choices for the same seed.
    """

    def __init__(self, size: int, *, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311  not cryptographic
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
        """The backoff after an attempt's conflict, in seconds: full jitter over 1 ms, 2 ms, 4 ms …, at most 50 ms."""
        return self._random.uniform(0, min(0.05, 0.001 * 2**attempt))
