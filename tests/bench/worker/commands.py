"""The workers' commands: some without conflicts, and some that all concern a few books."""

import random
from collections.abc import Iterator
from itertools import count

from handlers.decider import Command
from handlers.library.add_book_copy import AddBookCopyToCirculation
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.register_reader import RegisterReader
from handlers.library.return_book_copy import ReturnBookCopyFromReader

__all__ = ["Commands"]

_READERS = 50


class Commands:
    """Generates commands, the same each time for the same seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311  not cryptographic
        self._number = count(1)
        self._book = count(1)

    def uncontended(self, amount: int) -> Iterator[Command]:
        """Commands with disjoint boundaries: one query that finds nothing, one event."""
        for _ in range(amount):
            yield RegisterReader(reader_id=f"reader-{next(self._number)}", name="Ada")

    def hot_book_setup(self, books: int) -> Iterator[Command]:
        """The commands that register ``books`` books and their readers. Each book has its own readers."""
        for book in range(1, books + 1):
            yield AddBookCopyToCirculation(
                book_id=f"hot-{book}",
                isbn="978-0",
                title="RunRequest",
                authors="N. N.",
                edition="1",
                publisher="House",
                publication_year=2000,
            )
            for reader in range(_READERS):
                yield RegisterReader(reader_id=f"hot-{book}-{reader}", name="Ada")

    def hot_books(self, amount: int, books: int) -> Iterator[Command]:
        """Loans and returns of a few books by many readers, at random: many are rejected.

        New books each time: with the same ones, later runs would read the events of earlier ones.
        """
        names = [f"hot-{next(self._book)}" for _ in range(books)]
        for number in range(amount):
            book = names[number % books]
            kind = self._rng.choice((LendBookCopyToReader, ReturnBookCopyFromReader))
            yield kind(book_id=book, reader_id=f"{book}-{self._rng.randrange(_READERS)}")
