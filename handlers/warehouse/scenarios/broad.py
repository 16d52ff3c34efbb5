"""Broad: boundaries by types alone beside narrow ones."""

import random
from collections.abc import Iterator
from typing import ClassVar

from handlers.model import Command
from handlers.scenario import Scenario, Workload, parameter
from handlers.warehouse.reserve_pieces import ReservePieces
from handlers.warehouse.scenarios.stock import called, delivered
from handlers.warehouse.take_stock import TakeStock

__all__ = ["Broad"]


class Broad(Scenario):
    """Orders of many products; each of them conflicts with any count of all products."""

    name: ClassVar[str] = "broad"
    stresses: ClassVar[str] = (
        "boundaries by type alone (counts of everything) beside narrow ones: does a command wait forever?"
    )

    products: int = parameter(200, "products", "How many products there are.", ge=1, le=100_000)
    count_share: float = parameter(0.02, "of the commands", "How many commands count everything.", ge=0, le=1)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        products = called(prefix, "product", self.products)
        return Workload(setup=delivered(products, commands), load=self._load(rng, commands, products, prefix))

    def _load(self, rng: random.Random, commands: int, products: list[str], prefix: str) -> Iterator[Command]:
        for number in range(1, commands + 1):
            if rng.random() < self.count_share:
                yield TakeStock(count=f"{prefix}count-{number}")
            else:
                yield ReservePieces(order=f"{prefix}order-{number}", product=rng.choice(products), pieces=1)
