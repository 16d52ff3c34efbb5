"""Take stock: a decision from everything of a type, whatever product it is about."""

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
    """Count all pieces and orders; nothing is counted twice in a row."""

    count: Name = Field(alias="Count")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inventory:
    """What there is.

    Attributes:
        pieces: How many pieces are on all shelves.
        orders: How many orders have theirs.
        counted: Whether nothing has come or gone since the last count.
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
