"""Bounded: boundaries with bounds of number and time, where a replica may not have reached the bound."""

import random
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

from handlers.model import Command
from handlers.scenario import Scenario, Workload, parameter
from handlers.warehouse.move_product import MoveProduct, period_of
from handlers.warehouse.scenarios.stock import called, delivered

__all__ = ["Bounded"]

_REMEMBERED = 100


class Bounded(Scenario):
    """Products are moved as of the latest answer, which a replica may not have seen yet, or as of an earlier one."""

    name: ClassVar[str] = "bounded"
    stresses: ClassVar[str] = "boundaries with bounds of number and of time, which replicas may be behind"

    products: int = parameter(20, "products", "How many products there are.", ge=1, le=100_000)
    old_share: float = parameter(
        0.2, "of the commands", "How many commands are as of an earlier answer than the latest.", ge=0, le=1
    )

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        products = called(prefix, "product", self.products)
        answers = _Answers()
        return Workload(
            setup=delivered(products, 1),
            load=self._load(rng, products, called(prefix, "bay", commands), answers),
            answered=answers.note,
        )

    def _load(self, rng: random.Random, products: list[str], bays: list[str], answers: "_Answers") -> Iterator[Command]:
        for bay in bays:
            old = rng.random() < self.old_share
            yield MoveProduct(
                product=rng.choice(products),
                bay=bay,
                seen=answers.numbers[rng.randrange(len(answers.numbers))] if old else answers.highest,
                period=answers.period,
            )


class _Answers:
    """The head and the time according to the answers so far. Without any, it is the beginning of 1970."""

    def __init__(self) -> None:
        self.highest = 0
        self.period = period_of(datetime(1970, 1, 1, tzinfo=UTC))
        self.numbers = deque([0], maxlen=_REMEMBERED)

    def note(self, number: int, at: datetime) -> None:
        self.highest = max(self.highest, number)
        self.numbers.append(number)
        self.period = period_of(at)
