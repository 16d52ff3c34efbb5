"""Library day: a branch library from opening to closing time."""

import random
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

from handlers.decider import Command
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.scenarios.loans import Favourites, Loans, called, opening
from handlers.scenario import Scenario, Workload, parameter

__all__ = ["LibraryDay"]

# The number of books that a reader tries to find one that is not lent; after that, the last one is asked for anyway.
_GLANCES = 3
_POPULARITY = 0.7


class LibraryDay(Scenario):
    """Readers come, borrow a few books, and return all or some of them later.

    Only readers and books that occur in the load are registered and added before it, since no command uses the others.
    """

    name: ClassVar[str] = "library-day"
    stresses: ClassVar[str] = "what a branch library has in a day: large stock, small boundaries, a few favourites"

    readers: int = parameter(14_000, "readers", "How many readers the library has.", ge=1, le=1_000_000)
    books: int = parameter(60_000, "books", "How many books it has.", ge=1, le=1_000_000)
    most_books: int = parameter(5, "books", "The largest number of books in a visit; the smallest is one.", ge=1, le=10)
    return_all: float = parameter(0.85, "of the readers", "How many readers bring all of their books back.", ge=0, le=1)
    away: int = parameter(100, "readers", "How many readers have books at home at the same time.", ge=0)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        readers, books = called(prefix, "reader", self.readers), called(prefix, "book", self.books)
        load = list(islice(self._visits(rng, readers, books), commands))
        lendings = [command for command in load if isinstance(command, LendBookCopyToReader)]
        # In order of first use, each once. A reader who returns a book has borrowed it before.
        setup = opening(
            dict.fromkeys(command.reader_id for command in lendings),
            dict.fromkeys(command.book_id for command in lendings),
        )
        return Workload(setup=setup, load=load)

    def _visits(self, rng: random.Random, readers: list[str], books: list[str]) -> Iterator[Command]:
        loans = Loans()
        wanted = Favourites(rng, books, _POPULARITY)
        # The readers and the books that they have at home, the longest loan first.
        homes: deque[tuple[str, list[str]]] = deque()
        while True:
            if len(homes) > self.away:
                reader, borrowed = homes.popleft()
                brings_all = rng.random() < self.return_all
                for book in borrowed:
                    if brings_all or rng.random() < 1 / 2:
                        yield loans.give_back(book)
                continue
            reader = rng.choice(readers)
            borrowed = []
            for _ in range(rng.randint(1, self.most_books)):
                book = self._found(wanted, loans)
                if loans.holder(book) is None:
                    borrowed.append(book)
                yield loans.lend(book, reader)
            homes.append((reader, borrowed))

    @staticmethod
    def _found(wanted: Favourites, loans: Loans) -> str:
        book = wanted.next()
        for _ in range(_GLANCES):
            if loans.holder(book) is None:
                break
            book = wanted.next()
        return book
