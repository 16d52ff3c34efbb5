"""Receive a delivery."""

from pydantic import Field, PositiveInt

from eventstore import Filter, P
from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Unchanged
from handlers.model import Command
from handlers.view import View
from handlers.warehouse.events import Name, PiecesReceived

__all__ = ["ReceivePieces", "decider", "delivery"]


class ReceivePieces(Command):
    """The pieces can be reserved from now on. Each delivery arrives once."""

    delivery: Name = Field(alias="Delivery")
    product: Name = Field(alias="Product")
    pieces: PositiveInt = Field(alias="Pieces")


def _events(delivery: str) -> Filter:
    return Filter.matching().any_event_type_of(PiecesReceived.__name__).and_any_predicate_of(P("Delivery", delivery))


def _decide(command: ReceivePieces, arrived: bool) -> Decision:  # noqa: FBT001  the state is a single truth
    if arrived:
        return Unchanged()
    received = PiecesReceived(delivery=command.delivery, product=command.product, pieces=command.pieces)
    return Accepted(events=(received,))


delivery = View(name="delivery", events=_events, initial=lambda _: False, evolve=lambda *_: True)
decider = Decider(command=ReceivePieces, parts=lambda command: delivery.at(command.delivery), decide=_decide)
