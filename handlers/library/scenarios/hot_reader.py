"""Hot reader: many loans compete for one reader's quota."""

import random
from itertools import count
from typing import ClassVar

from handlers.library.lend_book_copy import MOST_BOOKS
from handlers.library.scenarios.loans import called, lent_and_returned, opening
from handlers.scenario import Scenario, Workload, parameter

__all__ = ["HotReader"]


class HotReader(Scenario):
    """One reader asks for one book after the other, and returns each of them later."""

    name: ClassVar[str] = "hot-reader"
    stresses: ClassVar[str] = f"one reader's quota of {MOST_BOOKS}, raced for by many loans"

    books: int = parameter(100, "books", "How many books the reader chooses from.", ge=1, le=100_000)
    kept: int = parameter(30, "commands", "How many further commands later a requested book is returned.", ge=0)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        books = called(prefix, "book", self.books)
        reader = f"{prefix}reader"
        wishes = ((rng.choice(books), reader) for _ in count())
        return Workload(
            setup=opening([reader], books), load=lent_and_returned(wishes, kept=self.kept, commands=commands)
        )
