"""Overlapping: each boundary shares one half with the one before it, and the other half with the one after it."""

import random
from collections.abc import Iterator
from typing import ClassVar

from handlers.decider import Command
from handlers.library.scenarios.loans import Loans, called, opening
from handlers.scenario import Scenario, Workload, parameter

__all__ = ["Overlapping"]


class Overlapping(Scenario):
    """Books and readers form a chain: book 1, reader 1, book 2, reader 2 …; each command is about two neighbours."""

    name: ClassVar[str] = "overlapping"
    stresses: ClassVar[str] = "boundaries that overlap in a chain: A or B, B or C, C or D …"

    pairs: int = parameter(10, "books, and as many readers", "How long the chain is.", ge=2, le=100_000)
    jump_share: float = parameter(
        0.05, "of the commands", "How many of the commands continue at another place of the chain.", ge=0, le=1
    )

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        books, readers = called(prefix, "book", self.pairs), called(prefix, "reader", self.pairs)
        return Workload(setup=opening(readers, books), load=self._load(rng, commands, books, readers))

    def _load(self, rng: random.Random, commands: int, books: list[str], readers: list[str]) -> Iterator[Command]:
        loans = Loans()
        links = 2 * self.pairs - 1
        link = 0
        for _ in range(commands):
            book, reader = books[(link + 1) // 2], readers[link // 2]
            yield loans.give_back(book) if loans.holder(book) == reader else loans.lend(book, reader)
            link = rng.randrange(links) if rng.random() < self.jump_share else (link + 1) % links
