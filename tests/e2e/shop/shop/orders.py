"""Orders and stock. ``WORKER_DOMAINS=shop.orders:domain`` serves them, from wherever this package is installed."""

import random
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import PositiveInt

from eventstore import Filter, P
from handlers import (
    Accepted,
    Command,
    Decider,
    Decision,
    Domain,
    DomainEvent,
    Invariant,
    Rejected,
    Scenario,
    Unchanged,
    Workload,
    parameter,
)
from handlers.domain import Check


class AddStock(Command):
    delivery: str
    product: str
    pieces: PositiveInt


class StockAdded(DomainEvent):
    delivery: str
    product: str
    pieces: int


class PlaceOrder(Command):
    order: str
    product: str
    pieces: PositiveInt


class OrderPlaced(DomainEvent):
    order: str
    product: str
    pieces: int


def delivery_boundary(command: AddStock) -> Filter:
    return Filter.matching().any_event_type_of("StockAdded").and_any_predicate_of(P("delivery", command.delivery))


def decide_delivery(command: AddStock, arrived: bool) -> Decision:  # noqa: FBT001  the state is a single truth
    return Unchanged() if arrived else Accepted(events=(StockAdded(**command.model_dump()),))


@dataclass(frozen=True)
class Shelf:
    """What matters to an order: how much of the product is left, and whether the order was placed before."""

    order: str
    product: str
    pieces: int = 0
    placed: bool = False


def order_boundary(command: PlaceOrder) -> Filter:
    """Two entities, one decision: all that happened to the product or to the order."""
    return (
        Filter.matching()
        .any_event_type_of("StockAdded", "OrderPlaced")
        .and_any_predicate_of(P("product", command.product), P("order", command.order))
    )


def evolve_shelf(shelf: Shelf, event: DomainEvent) -> Shelf:
    match event:
        case StockAdded(pieces=pieces):
            return replace(shelf, pieces=shelf.pieces + pieces)
        case OrderPlaced(order=order, product=product, pieces=pieces):
            taken = pieces if product == shelf.product else 0
            return replace(shelf, pieces=shelf.pieces - taken, placed=shelf.placed or order == shelf.order)
    return shelf


def decide_order(command: PlaceOrder, shelf: Shelf) -> Decision:
    if shelf.placed:
        return Unchanged()
    if shelf.pieces < command.pieces:
        return Rejected(reason="not enough in stock")
    return Accepted(events=(OrderPlaced(**command.model_dump()),))


def never_oversold() -> Check:
    left: dict[str, int] = {}

    def check(number: int, event: DomainEvent) -> str | None:
        match event:
            case StockAdded(product=product, pieces=pieces):
                left[product] = left.get(product, 0) + pieces
            case OrderPlaced(product=product, pieces=pieces):
                left[product] = left.get(product, 0) - pieces
                if left[product] < 0:
                    return f"event {number} sells {-left[product]} pieces of {product} that are not there"
        return None

    return check


class Rush(Scenario):
    name: ClassVar[str] = "rush"
    stresses: ClassVar[str] = "one product that everybody orders, until it is sold out"

    pieces: int = parameter(25, "pieces", "How many pieces there are.", ge=1)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        product = f"{prefix}lamp"
        numbers = rng.sample(range(commands), commands)
        return Workload(
            setup=[AddStock(delivery=f"{prefix}delivery", product=product, pieces=self.pieces)],
            load=(PlaceOrder(order=f"{prefix}order-{number}", product=product, pieces=1) for number in numbers),
        )


domain = Domain(
    name="orders",
    deciders=(
        Decider(
            command=AddStock,
            boundary=delivery_boundary,
            initial=lambda _: False,
            evolve=lambda *_: True,
            decide=decide_delivery,
        ),
        Decider(
            command=PlaceOrder,
            boundary=order_boundary,
            initial=lambda command: Shelf(command.order, command.product),
            evolve=evolve_shelf,
            decide=decide_order,
        ),
    ),
    events=(StockAdded, OrderPlaced),
    invariants=(Invariant(name="nothing is sold that is not there", start=never_oversold),),
    scenarios=(Rush,),
)
