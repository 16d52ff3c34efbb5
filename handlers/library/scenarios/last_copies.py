"""Last copies: a few books for many readers."""

import random
from itertools import count
from typing import ClassVar

from handlers.library.scenarios.loans import Favourites, called, lent_and_returned, opening
from handlers.scenario import Scenario, Workload, parameter

__all__ = ["LastCopies"]


class LastCopies(Scenario):
    """Many readers want a few books, some of them far more than others."""

    name: ClassVar[str] = "last-copies"
    stresses: ClassVar[str] = "a few boundaries, unevenly: few books, many readers, wanted by Zipf's law"

    books: int = parameter(20, "books", "How many books there are.", ge=1, le=100_000)
    readers: int = parameter(200, "readers", "How many readers want them.", ge=1, le=100_000)
    exponent: float = parameter(
        1.0, "", "Zipf's exponent: how uneven the demand is; with 0, all books are in equal demand.", ge=0, le=5
    )
    kept: int = parameter(40, "commands", "How many further commands later a requested book is returned.", ge=0)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        readers, books = called(prefix, "reader", self.readers), called(prefix, "book", self.books)
        wanted = Favourites(rng, books, self.exponent)
        wishes = ((wanted.next(), rng.choice(readers)) for _ in count())
        return Workload(
            setup=opening(readers, books), load=lent_and_returned(wishes, kept=self.kept, commands=commands)
        )
