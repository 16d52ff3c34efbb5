"""Take stock: a decision from all events of some types, for every product."""

from dataclasses import dataclass, replace

from pydantic import Field

from eventstore import Filter
from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Unchanged
from handlers.model import Command, DomainEvent
from handlers.view import View
from handlers.warehouse.events import Name, PiecesReceived, PiecesReserved, StockTaken

__all__ = ["TakeStock", "decider", "inventory"]


class TakeStock(Command):
    """Count all pieces and orders. A count without changes since the last one has no effect."""

    count: Name = Field(alias="Count")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inventory:
    """The present stock.

    Attributes:
        pieces: The number of pieces on all shelves.
        orders: The number of orders that have reserved their pieces.
        counted: Whether nothing was received or reserved since the last count.
    """

    pieces: int = 0
    orders: int = 0
    counted: bool = False


def _events() -> Filter:
    return Filter.matching().any_event_type_of(PiecesReceived.__name__, PiecesReserved.__name__, StockTaken.__name__)


def _evolve(inventory: _Inventory, event: DomainEvent) -> _Inventory:
    match event:
        case PiecesReceived(pieces=pieces):
            return replace(inventory, pieces=inventory.pieces + pieces, counted=False)
        case PiecesReserved(pieces=pieces):
            return _Inventory(pieces=inventory.pieces - pieces, orders=inventory.orders + 1)
        case _:
            return replace(inventory, counted=True)


def _decide(command: TakeStock, inventory: _Inventory) -> Decision:
    if inventory.counted:
        return Unchanged()
    return Accepted(events=(StockTaken(count=command.count, pieces=inventory.pieces, orders=inventory.orders),))


inventory = View(name="inventory", events=_events, initial=_Inventory, evolve=_evolve, stored_every=1_000)
decider = Decider(command=TakeStock, parts=lambda _: inventory.at(), decide=_decide)
