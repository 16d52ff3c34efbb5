"""Orders and stock. ``WORKER_DOMAINS=shop.orders:domain`` serves them, from wherever this package is installed."""

import random
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, PositiveInt

from eventstore import Filter, P
from handlers import (
    Accepted,
    Check,
    Command,
    Decider,
    Decision,
    Domain,
    DomainEvent,
    Invariant,
    Rejected,
    Scenario,
    Unchanged,
    View,
    Workload,
    parameter,
)


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


class PlaceBasket(Command):
    order: str
    products: dict[str, PositiveInt] = Field(min_length=1, max_length=50)


def shelf_events(product: str) -> Filter:
    return Filter.matching().any_event_type_of("StockAdded", "OrderPlaced").and_any_predicate_of(P("product", product))


def evolve_shelf(pieces: int, event: DomainEvent) -> int:
    match event:
        case StockAdded():
            return pieces + event.pieces
        case OrderPlaced():
            return pieces - event.pieces
    return pieces


def placed_events(order: str) -> Filter:
    return Filter.matching().any_event_type_of("OrderPlaced").and_any_predicate_of(P("order", order))


def arrived_events(delivery: str) -> Filter:
    return Filter.matching().any_event_type_of("StockAdded").and_any_predicate_of(P("delivery", delivery))


shelf = View(name="shelf", events=shelf_events, initial=lambda _: 0, evolve=evolve_shelf)
placed = View(name="placed", events=placed_events, initial=lambda _: False, evolve=lambda *_: True)
arrived = View(name="arrived", events=arrived_events, initial=lambda _: False, evolve=lambda *_: True)


def decide_delivery(command: AddStock, arrived: bool) -> Decision:
    return Unchanged() if arrived else Accepted(events=(StockAdded(**command.model_dump()),))


def decide_order(command: PlaceOrder, pieces: int, placed: bool) -> Decision:
    if placed:
        return Unchanged()
    if pieces < command.pieces:
        return Rejected(reason="not enough in stock")
    return Accepted(events=(OrderPlaced(**command.model_dump()),))


def decide_basket(command: PlaceBasket, shelves: Mapping[str, int], placed: bool) -> Decision:
    if placed:
        return Unchanged()
    if any(shelves[product] < pieces for product, pieces in command.products.items()):
        return Rejected(reason="not enough in stock")
    return Accepted(
        events=tuple(
            OrderPlaced(order=command.order, product=product, pieces=pieces)
            for product, pieces in command.products.items()
        )
    )


add_stock = Decider(command=AddStock, parts=lambda command: arrived.at(command.delivery), decide=decide_delivery)
place_order = Decider(
    command=PlaceOrder,
    parts=lambda command: (shelf.at(command.product), placed.at(command.order)),
    decide=decide_order,
)
place_basket = Decider(
    command=PlaceBasket,
    parts=lambda command: (shelf.at_each(command.products), placed.at(command.order)),
    decide=decide_basket,
)


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
    views=(shelf, placed, arrived),
    deciders=(add_stock, place_order, place_basket),
    events=(StockAdded, OrderPlaced),
    invariants=(Invariant(name="nothing is sold that is not there", start=never_oversold),),
    scenarios=(Rush,),
)
