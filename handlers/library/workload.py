"""A library's day in short, for demonstrations: popular books, readers at their quota, and mistakes."""

import random
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate

from handlers.decider import Command
from handlers.domain import Workload
from handlers.library.add_book_copy import AddBookCopyToCirculation
from handlers.library.cancel_reader_contract import CancelReaderContract
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.register_reader import RegisterReader
from handlers.library.remove_book_copy import RemoveBookCopyFromCirculation
from handlers.library.return_book_copy import ReturnBookCopyFromReader

__all__ = ["workload"]

# So that a few books are wanted by many readers at the same time, and a few readers want more books than they may have.
_COMMANDS_PER_READER, _COMMANDS_PER_BOOK = 20, 5
_FEWEST = 20
_BOOKS_EXPONENT, _READERS_EXPONENT = 0.9, 0.8
# Cumulated: lend, return, remove, add again, cancel, register again; the rest name what does not exist.
_LEND, _RETURN, _REMOVE, _ADD, _CANCEL, _REGISTER = 0.52, 0.88, 0.905, 0.93, 0.95, 0.97
# How many books a reader looks at for one that is on the shelf; who finds none asks for the last one all the same.
_GLANCES = 3
_SURNAMES = ("Achebe", "Borges", "Calvino", "Duras", "Eco", "Ferrante", "Gordimer", "Hamsun", "Ishiguro", "Jelinek")


def workload(rng: random.Random, commands: int) -> Workload:
    """Generate a workload.

    Args:
        rng: The same state generates the same commands.
        commands: How many the load has; readers and books grow with it.
    """
    readers = [f"reader-{number}" for number in range(1, max(_FEWEST, commands // _COMMANDS_PER_READER) + 1)]
    books = [f"book-{number}" for number in range(1, max(_FEWEST, commands // _COMMANDS_PER_BOOK) + 1)]
    return Workload(
        setup=[*map(_registration, readers), *map(_addition, books)], load=_load(rng, commands, readers, books)
    )


def _load(rng: random.Random, commands: int, readers: list[str], books: list[str]) -> Iterator[Command]:
    book = _Favourites(rng, books, _BOOKS_EXPONENT)
    reader = _Favourites(rng, readers, _READERS_EXPONENT)
    # Who has which book, as far as can be told from outside: commands overtake each other, and some are rejected.
    lent: dict[str, str] = {}
    for number in range(commands):
        lot = rng.random()
        if lot < _LEND or (lot < _RETURN and not lent):
            wanted = book.next()
            for _ in range(_GLANCES):
                if wanted not in lent:
                    break
                wanted = book.next()
            borrower = reader.next()
            lent.setdefault(wanted, borrower)
            yield LendBookCopyToReader(book_id=wanted, reader_id=borrower)
        elif lot < _RETURN:
            returned = rng.choice(list(lent))
            yield ReturnBookCopyFromReader(book_id=returned, reader_id=lent.pop(returned))
        elif lot < _REMOVE:
            yield RemoveBookCopyFromCirculation(book_id=rng.choice(books))
        elif lot < _ADD:
            yield _addition(rng.choice(books))
        elif lot < _CANCEL:
            yield CancelReaderContract(reader_id=rng.choice(readers))
        elif lot < _REGISTER:
            yield _registration(rng.choice(readers))
        else:
            yield LendBookCopyToReader(book_id=book.next(), reader_id=f"stranger-{number}")


class _Favourites:
    """Chooses by Zipf's law: the first is wanted most."""

    def __init__(self, rng: random.Random, names: list[str], exponent: float) -> None:
        self._rng = rng
        self._names = names
        self._weights = list(accumulate(1 / rank**exponent for rank in range(1, len(names) + 1)))

    def next(self) -> str:
        return self._names[bisect(self._weights, self._rng.random() * self._weights[-1])]


def _registration(reader: str) -> RegisterReader:
    surname = _SURNAMES[len(reader) * sum(map(ord, reader)) % len(_SURNAMES)]
    return RegisterReader(reader_id=reader, name=f"{reader.title()} {surname}")


def _addition(book: str) -> AddBookCopyToCirculation:
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
