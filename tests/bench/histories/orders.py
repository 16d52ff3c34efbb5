"""A domain with a long history, a product's, and one that is always new, an order's."""

from dataclasses import dataclass, replace

from eventstore import Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Rejected, Unchanged, View

__all__ = ["domain"]


class PlaceOrder(Command):
    order: str
    product: str


class Stocked(DomainEvent):
    product: str
    pieces: int


class OrderPlaced(DomainEvent):
    order: str
    product: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """The stock of a product."""

    pieces: int = 0


def _product_events(product: str) -> Filter:
    return Filter.matching().any_event_type_of("Stocked", "OrderPlaced").and_any_predicate_of(P("product", product))


def _order_events(order: str) -> Filter:
    return Filter.matching().any_event_type_of("OrderPlaced").and_any_predicate_of(P("order", order))


def _on_shelf(shelf: Shelf, event: DomainEvent) -> Shelf:
    match event:
        case Stocked(pieces=pieces):
            return replace(shelf, pieces=shelf.pieces + pieces)
        case OrderPlaced():
            return replace(shelf, pieces=shelf.pieces - 1)
    return shelf


def _is_placed(_placed: bool, _event: DomainEvent) -> bool:  # noqa: FBT001  the view's state is a bool
    return True


def _decide(command: PlaceOrder, shelf: Shelf, placed: bool) -> Decision:  # noqa: FBT001  as above
    if placed:
        return Unchanged()
    if shelf.pieces < 1:
        return Rejected(reason="sold out")
    return Accepted(events=(OrderPlaced(order=command.order, product=command.product),))


shelf = View(name="shelf", events=_product_events, initial=lambda _: Shelf(), evolve=_on_shelf, stored_every=1000)
placed = View(name="placed", events=_order_events, initial=lambda _: False, evolve=_is_placed)

domain = Domain(
    name="orders",
    views=(shelf, placed),
    deciders=(
        Decider(
            command=PlaceOrder,
            parts=lambda command: (shelf.at(command.product), placed.at(command.order)),
            decide=_decide,
        ),
    ),
    events=(Stocked, OrderPlaced),
)
