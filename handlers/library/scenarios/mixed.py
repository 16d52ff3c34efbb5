"""Mixed: a mixture of all commands, for demonstrations and trials."""

import random
from collections.abc import Iterator
from typing import ClassVar

from handlers.decider import Command
from handlers.library.cancel_reader_contract import CancelReaderContract
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.release_reservations import ReleaseReservations
from handlers.library.remove_book_copy import RemoveBookCopyFromCirculation
from handlers.library.reserve_book_copy import ReserveBookCopy
from handlers.library.scenarios.loans import Favourites, Loans, addition, called, opening, registration
from handlers.scenario import Scenario, Workload, parameter

__all__ = ["Mixed"]

_FEWEST = 20
_BOOKS_EXPONENT, _READERS_EXPONENT = 0.9, 0.8
# Cumulative shares: lend, return, remove, add again, cancel, register again, reserve, release; the rest name unknown
# readers.
_LEND, _RETURN, _REMOVE, _ADD, _CANCEL, _REGISTER = 0.52, 0.88, 0.905, 0.93, 0.95, 0.97
_RESERVE, _RELEASE = 0.98, 0.985
# The number of books that a reader tries to find one that is not lent; after that, the last one is asked for anyway.
_GLANCES = 3
_COPIED = 0.02


class Mixed(Scenario):
    """Many readers want a few books at the same time, and a few readers want more books than they may have."""

    name: ClassVar[str] = "mixed"
    stresses: ClassVar[str] = "a little of everything: popular books, readers at their quota, copies, and mistakes"

    commands_per_reader: int = parameter(20, "commands", "How many commands there are for each reader.", ge=1)
    commands_per_book: int = parameter(5, "commands", "How many commands there are for each book.", ge=1)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        readers = called(prefix, "reader", max(_FEWEST, commands // self.commands_per_reader))
        books = called(prefix, "book", max(_FEWEST, commands // self.commands_per_book))
        return Workload(
            setup=opening(readers, books),
            load=_load(rng, commands, readers, books, prefix),
            copied_at_once=_COPIED,
            copied_later=_COPIED,
        )


def _load(rng: random.Random, commands: int, readers: list[str], books: list[str], prefix: str) -> Iterator[Command]:
    book = Favourites(rng, books, _BOOKS_EXPONENT)
    reader = Favourites(rng, readers, _READERS_EXPONENT)
    loans = Loans()
    for number in range(commands):
        lot = rng.random()
        if lot < _LEND or (lot < _RETURN and not loans):
            wanted = book.next()
            for _ in range(_GLANCES):
                if loans.holder(wanted) is None:
                    break
                wanted = book.next()
            yield loans.lend(wanted, reader.next())
        elif lot < _RETURN:
            yield loans.give_back(rng.choice(loans.books()))
        elif lot < _REGISTER:
            yield _upkeep(rng, lot, readers, books)
        elif lot < _RESERVE:
            yield ReserveBookCopy(book_id=book.next(), reader_id=rng.choice(readers))
        elif lot < _RELEASE:
            yield ReleaseReservations(reader_id=rng.choice(readers))
        else:
            yield LendBookCopyToReader(book_id=book.next(), reader_id=f"{prefix}stranger-{number}")


def _upkeep(rng: random.Random, lot: float, readers: list[str], books: list[str]) -> Command:
    if lot < _REMOVE:
        return RemoveBookCopyFromCirculation(book_id=rng.choice(books))
    if lot < _ADD:
        return addition(rng.choice(books))
    if lot < _CANCEL:
        return CancelReaderContract(reader_id=rng.choice(readers))
    return registration(rng.choice(readers))
