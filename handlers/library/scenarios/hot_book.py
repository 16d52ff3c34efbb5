"""Hot book: one book that all readers want at the same time."""

import random
from collections.abc import Iterator
from typing import ClassVar

from handlers.library.scenarios.loans import called, lent_and_returned, opening
from handlers.scenario import Scenario, Workload, parameter

__all__ = ["HotBook"]


class HotBook(Scenario):
    """All readers want one book; after a number of wishes, they want the next one."""

    name: ClassVar[str] = "hot-book"
    stresses: ClassVar[str] = "one boundary at a time: many readers, and one book that all of them want"

    readers: int = parameter(100, "readers", "How many readers want the book.", ge=1, le=100_000)
    wishes: int = parameter(500, "wishes", "After how many requests the readers want the next book.", ge=1)
    kept: int = parameter(10, "commands", "How many further commands later a requested book is returned.", ge=0)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        readers = called(prefix, "reader", self.readers)
        books = called(prefix, "book", -(-commands // self.wishes))
        load = lent_and_returned(self._wishes(rng, readers, books), kept=self.kept, commands=commands)
        return Workload(setup=opening(readers, books), load=load)

    def _wishes(self, rng: random.Random, readers: list[str], books: list[str]) -> Iterator[tuple[str, str]]:
        for book in books:
            for _ in range(self.wishes):
                yield book, rng.choice(readers)
