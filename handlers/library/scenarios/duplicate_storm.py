"""Duplicate storm: a publisher that sends every command several times."""

import random
from itertools import count
from typing import ClassVar

from handlers.library.scenarios.loans import called, lent_and_returned, opening
from handlers.scenario import Scenario, Workload, parameter

__all__ = ["DuplicateStorm"]


class DuplicateStorm(Scenario):
    """Books are lent and returned; each command is sent twice at once, and once more after its answer."""

    name: ClassVar[str] = "duplicate-storm"
    stresses: ClassVar[str] = "receipts: every command is delivered three times, and must take effect once"

    books: int = parameter(200, "books", "How many books there are.", ge=1, le=100_000)
    readers: int = parameter(100, "readers", "How many readers want them.", ge=1, le=100_000)
    kept: int = parameter(200, "commands", "How many further commands later a requested book is returned.", ge=0)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        readers, books = called(prefix, "reader", self.readers), called(prefix, "book", self.books)
        wishes = ((rng.choice(books), rng.choice(readers)) for _ in count())
        return Workload(
            setup=opening(readers, books),
            load=lent_and_returned(wishes, kept=self.kept, commands=commands),
            copied_at_once=1.0,
            copied_later=1.0,
        )
