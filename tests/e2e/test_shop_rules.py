"""A domain of somebody's own is tested with the kit alone: no server, no event loop."""

import pytest

from examples.shop.shop.orders import AddStock, OrderPlaced, PlaceBasket, PlaceOrder, StockAdded, domain, shelf
from handlers.decider import DomainEvent
from handlers.testing import accepted, kit, rejected, unchanged

given = kit(domain)

DELIVERED = StockAdded(delivery="d1", product="lamp", pieces=2)
ORDER = PlaceOrder(order="o1", product="lamp", pieces=2)
PLACED = OrderPlaced(order="o1", product="lamp", pieces=2)
OTHER = (StockAdded(delivery="d9", product="client", pieces=9), OrderPlaced(order="o9", product="client", pieces=9))


def test_a_delivery_arrives_once() -> None:
    delivery = AddStock(delivery="d1", product="lamp", pieces=2)
    given(*OTHER).when(delivery).then(accepted(DELIVERED))
    given(*OTHER, DELIVERED).when(delivery).then(unchanged())


@pytest.mark.parametrize(
    "history",
    [
        (DELIVERED,),
        (
            DELIVERED,
            OrderPlaced(order="o2", product="lamp", pieces=1),
            StockAdded(delivery="d2", product="lamp", pieces=1),
        ),
    ],
)
def test_what_is_there_can_be_ordered(history: tuple[DomainEvent, ...]) -> None:
    given(*OTHER, *history).when(ORDER).then(accepted(PLACED))


@pytest.mark.parametrize("history", [(), (DELIVERED, OrderPlaced(order="o2", product="lamp", pieces=1))])
def test_what_is_not_there_cannot_be_ordered(history: tuple[DomainEvent, ...]) -> None:
    given(*OTHER, *history).when(ORDER).then(rejected("not enough in stock"))


def test_an_order_is_placed_once_whatever_is_ordered_under_its_name() -> None:
    given(DELIVERED, PLACED).when(ORDER).then(unchanged())
    given(*OTHER, DELIVERED).when(PlaceOrder(order="o9", product="lamp", pieces=1)).then(unchanged())


DESK = StockAdded(delivery="d2", product="client", pieces=1)
BASKET = PlaceBasket(order="o1", products={"lamp": 2, "client": 1})
DESK_PLACED = OrderPlaced(order="o1", product="client", pieces=1)


def test_a_basket_is_ordered_as_a_whole_and_once() -> None:
    given(DELIVERED, DESK).when(BASKET).then(accepted(PLACED, DESK_PLACED)).then_again(unchanged())


@pytest.mark.parametrize(
    "history", [(DELIVERED,), (DESK,), (DELIVERED, DESK, OrderPlaced(order="o2", product="lamp", pieces=1))]
)
def test_a_basket_is_refused_when_one_product_is_not_there(history: tuple[DomainEvent, ...]) -> None:
    given(*history).when(BASKET).then(rejected("not enough in stock"))


def test_the_shelf_shows_what_is_left() -> None:
    given(*OTHER, DELIVERED, OrderPlaced(order="o2", product="lamp", pieces=1)).sees(shelf.at("lamp"), 1)
    given(*OTHER).sees(shelf.at("lamp"), 0)


def test_selling_what_is_not_there_would_be_found() -> None:
    (invariant,) = domain.invariants
    check = invariant.start()
    assert [check(number, event) for number, event in enumerate([DELIVERED, PLACED, PLACED], start=1)] == [
        None,
        None,
        "event 3 sells 2 pieces of lamp that are not there",
    ]
