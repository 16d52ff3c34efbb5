"""New orders: decisions over an old and long history and an always new one."""

import random
from collections.abc import Iterator
from typing import ClassVar

from handlers.model import Command
from handlers.scenario import Scenario, Workload, parameter
from handlers.warehouse.receive_pieces import ReceivePieces
from handlers.warehouse.reserve_pieces import ReservePieces
from handlers.warehouse.scenarios.stock import called, delivered

__all__ = ["NewOrders"]

_REPEATED = 0.01


class NewOrders(Scenario):
    """Most orders are for one product with a long history; some are sent again with another command id."""

    name: ClassVar[str] = "new-orders"
    stresses: ClassVar[str] = "decisions over something old and long (a product) and something always new (an order)"

    history: int = parameter(
        2_000, "deliveries", "How many deliveries of the first product come before the load.", ge=0
    )
    products: int = parameter(10, "products", "How many products there are.", ge=1, le=100_000)
    first_share: float = parameter(0.8, "of the orders", "How many orders are of the first product.", ge=0, le=1)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        products = called(prefix, "product", self.products)
        earlier = (
            ReceivePieces(delivery=delivery, product=products[0], pieces=1)
            for delivery in called(prefix, "earlier-delivery", self.history)
        )
        return Workload(
            setup=[*delivered(products, commands), *earlier],
            load=self._load(rng, products, called(prefix, "order", commands)),
        )

    def _load(self, rng: random.Random, products: list[str], orders: list[str]) -> Iterator[Command]:
        for number, order in enumerate(orders):
            product = products[0] if rng.random() < self.first_share else rng.choice(products)
            again = number > 0 and rng.random() < _REPEATED
            name = orders[rng.randrange(number)] if again else order
            yield ReservePieces(order=name, product=product, pieces=1)
