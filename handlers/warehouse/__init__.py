"""A test bed for load scenarios: a warehouse. ``WORKER_DOMAINS=handlers.warehouse:domain`` serves it.

Its boundaries are of kinds that the library lacks: a part that is always new beside one that is old and long, all
events of a type, and events within a bound of number or time.
"""

from handlers.domain import Domain
from handlers.warehouse import events, move_product, receive_pieces, reserve_pieces, take_stock
from handlers.warehouse.invariants import invariants
from handlers.warehouse.scenarios import scenarios

__all__ = ["domain"]

domain = Domain(
    name="warehouse",
    views=(
        receive_pieces.delivery,
        reserve_pieces.shelf,
        reserve_pieces.order,
        take_stock.inventory,
        move_product.moves_since,
        move_product.moves_during,
    ),
    deciders=(receive_pieces.decider, reserve_pieces.decider, take_stock.decider, move_product.decider),
    events=(events.PiecesReceived, events.PiecesReserved, events.StockTaken, events.ProductMoved),
    invariants=invariants,
    scenarios=scenarios,
)
