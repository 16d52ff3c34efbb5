"""Two domains: one worker serves both."""

import random
from collections.abc import Iterator
from itertools import count
from typing import ClassVar

from handlers.library.scenarios.loans import lent_and_returned, opening
from handlers.model import Command
from handlers.scenario import Outage, Scenario, Workload, parameter
from handlers.warehouse.reserve_pieces import ReservePieces
from handlers.warehouse.scenarios.stock import called, delivered

__all__ = ["TwoDomains"]


class TwoDomains(Scenario):
    """Alternating orders of a warehouse and loans of a library; neither must affect the other.

    If the warehouse has a store of its own, that store is interrupted repeatedly.
    """

    name: ClassVar[str] = "two-domains"
    stresses: ClassVar[str] = (
        "two domains in one worker: the warehouse's orders, on a store with outages, and the library's loans"
    )
    beside: ClassVar[tuple[str, ...]] = ("library",)

    products: int = parameter(20, "products", "How many products the warehouse has.", ge=1, le=100_000)
    books: int = parameter(20, "books", "How many books the library has.", ge=1, le=100_000)
    readers: int = parameter(100, "readers", "How many readers it has.", ge=1, le=100_000)
    kept: int = parameter(20, "loans", "How many further loans and returns later a requested book is returned.", ge=0)

    up_seconds: float = parameter(
        6.0, "s", "How long the warehouse's store serves between two outages.", ge=0.1, le=3600
    )
    down_seconds: float = parameter(
        2.0,
        "s",
        "How long each outage lasts; 0 for none. Only with a store of its own, and --start-workers.",
        ge=0,
        le=60,
    )

    def outage(self) -> Outage | None:
        """See ``Scenario.outage``."""
        if not self.down_seconds:
            return None
        return Outage(domain="warehouse", up=self.up_seconds, down=self.down_seconds)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """See ``Scenario.workload``."""
        products = called(prefix, "product", self.products)
        readers, books = called(prefix, "reader", self.readers), called(prefix, "book", self.books)
        wishes = ((rng.choice(books), rng.choice(readers)) for _ in count())
        loans = lent_and_returned(wishes, kept=self.kept, commands=commands // 2)
        orders = (
            ReservePieces(order=order, product=rng.choice(products), pieces=1)
            for order in called(prefix, "order", commands - commands // 2)
        )
        return Workload(
            setup=[*opening(readers, books), *delivered(products, commands)],
            load=_in_turn(orders, loans),
        )


def _in_turn(first: Iterator[Command], second: Iterator[Command]) -> Iterator[Command]:
    for one in first:
        yield one
        yield from (other for other in (next(second, None),) if other is not None)
