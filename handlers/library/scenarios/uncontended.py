"""Uncontended: no two commands share a boundary."""

import random
from typing import ClassVar

from handlers.library.scenarios.loans import addition, registration
from handlers.scenario import Scenario, Workload

__all__ = ["Uncontended"]


class Uncontended(Scenario):
    """Readers register and books are added, each once."""

    name: ClassVar[str] = "uncontended"
    stresses: ClassVar[str] = "nothing: every command has a boundary of its own, which shows the ceiling"

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        numbers = list(range(1, commands + 1))
        rng.shuffle(numbers)
        load = (
            registration(f"{prefix}reader-{number}") if number % 2 else addition(f"{prefix}book-{number}")
            for number in numbers
        )
        return Workload(setup=(), load=load)
