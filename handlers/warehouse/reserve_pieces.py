"""Reserve pieces for an order: a product, which is old and has a long history, and an order, which is always new."""

from pydantic import Field, PositiveInt

from eventstore import Filter, P
from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.model import Command, DomainEvent
from handlers.part import Part
from handlers.view import View
from handlers.warehouse.events import Name, PiecesReceived, PiecesReserved

__all__ = ["NOT_ENOUGH", "ReservePieces", "decider", "order", "shelf"]

NOT_ENOUGH = "not enough on the shelf"


class ReservePieces(Command):
    """Set pieces aside for an order; each order reserves once."""

    order: Name = Field(alias="Order")
    product: Name = Field(alias="Product")
    pieces: PositiveInt = Field(alias="Pieces")


def _of_product(product: str) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(PiecesReceived.__name__, PiecesReserved.__name__)
        .and_any_predicate_of(P("Product", product))
    )


def _left(pieces: int, event: DomainEvent) -> int:
    match event:
        case PiecesReceived(pieces=more):
            return pieces + more
        case PiecesReserved(pieces=fewer):
            return pieces - fewer
        case _:
            return pieces


def _of_order(order: str) -> Filter:
    return Filter.matching().any_event_type_of(PiecesReserved.__name__).and_any_predicate_of(P("Order", order))


def _parts(command: ReservePieces) -> tuple[Part[int], Part[bool]]:
    return shelf.at(command.product), order.at(command.order)


def _decide(command: ReservePieces, pieces: int, reserved: bool) -> Decision:  # noqa: FBT001  the state is a truth
    if reserved:
        return Unchanged()
    if pieces < command.pieces:
        return Rejected(reason=NOT_ENOUGH)
    return Accepted(events=(PiecesReserved(order=command.order, product=command.product, pieces=command.pieces),))


shelf = View(name="shelf", events=_of_product, initial=lambda _: 0, evolve=_left, stored_every=1_000)
order = View(name="order", events=_of_order, initial=lambda _: False, evolve=lambda *_: True)
decider = Decider(command=ReservePieces, parts=_parts, decide=_decide)
