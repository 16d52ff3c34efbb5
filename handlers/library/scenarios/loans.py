"""Loans: the presumed holders of books while commands are generated."""

import random
from bisect import bisect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from handlers.decider import Command
from handlers.library.add_book_copy import AddBookCopyToCirculation
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.register_reader import RegisterReader
from handlers.library.return_book_copy import ReturnBookCopyFromReader

__all__ = ["Favourites", "Loans", "addition", "called", "lent_and_returned", "opening", "registration"]

_SURNAMES = ("Achebe", "Borges", "Calvino", "Duras", "Eco", "Ferrante", "Gordimer", "Hamsun", "Ishiguro", "Jelinek")


class Loans:
    """The loans, assuming that every command is decided in the order in which it is generated.

    This is an estimate: commands overtake each other, and some are rejected.
    """

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def holder(self, book: str) -> str | None:
        """Return the reader who has a book, or None."""
        return self._holders.get(book)

    def books(self) -> list[str]:
        """Return the lent books, in the order in which they were lent."""
        return list(self._holders)

    def lend(self, book: str, reader: str) -> Command:
        """Return a command that lends a book, even if another reader has it."""
        self._holders.setdefault(book, reader)
        return LendBookCopyToReader(book_id=book, reader_id=reader)

    def give_back(self, book: str) -> Command:
        """Return a command that returns a lent book."""
        return ReturnBookCopyFromReader(book_id=book, reader_id=self._holders.pop(book))


class Favourites:
    """Chooses names by Zipf's law: the first one most often.

    Args:
        rng: The random generator.
        names: The names to choose from.
        exponent: The exponent of Zipf's law; 0 chooses all names equally often.
    """

    def __init__(self, rng: random.Random, names: Sequence[str], exponent: float) -> None:
        self._rng = rng
        self._names = names
        self._weights = list(accumulate(1 / rank**exponent for rank in range(1, len(names) + 1)))

    def next(self) -> str:
        """Return the next name."""
        return self._names[bisect(self._weights, self._rng.random() * self._weights[-1], hi=len(self._names) - 1)]


def lent_and_returned(wishes: Iterator[tuple[str, str]], *, kept: int, commands: int) -> Iterator[Command]:
    """Generate a loan for each wish and later its return, whether or not the loan is accepted.

    A book that was lent is returned in any case, although the generator does not know which loans are accepted.

    Args:
        wishes: Pairs of a book and the reader who wants it; infinite.
        kept: The number of further commands after which the reader returns the book.
        commands: The number of commands to generate.
    """
    due: deque[tuple[int, str, str]] = deque()
    for number in range(commands):
        if due and due[0][0] <= number:
            _, book, reader = due.popleft()
            yield ReturnBookCopyFromReader(book_id=book, reader_id=reader)
        else:
            book, reader = next(wishes)
            due.append((number + kept, book, reader))
            yield LendBookCopyToReader(book_id=book, reader_id=reader)


def called(prefix: str, what: str, count: int) -> list[str]:
    """Return ``count`` numbered names."""
    return [f"{prefix}{what}-{number}" for number in range(1, count + 1)]


def opening(readers: Iterable[str], books: Iterable[str]) -> list[Command]:
    """Return the commands that register readers and add books."""
    return [*map(registration, readers), *map(addition, books)]


def registration(reader: str) -> RegisterReader:
    """Return the command that registers a reader."""
    surname = _SURNAMES[len(reader) * sum(map(ord, reader)) % len(_SURNAMES)]
    return RegisterReader(reader_id=reader, name=f"{reader.title()} {surname}")


def addition(book: str) -> AddBookCopyToCirculation:
    """Return the command that adds a book."""
    number = sum(map(ord, book))
    return AddBookCopyToCirculation(
        book_id=book,
        isbn=f"978-0-00-{number:06d}-0",
        title=f"The {book} of hours",
        authors=_SURNAMES[number % len(_SURNAMES)],
        edition="1st",
        publisher="Dynamic Press",
        publication_year=1950 + number % 75,
    )
