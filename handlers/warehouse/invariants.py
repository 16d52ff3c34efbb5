"""The invariants of a warehouse, which hold after every event of a correct log."""

from handlers.invariant import Check, Invariant
from handlers.model import DomainEvent
from handlers.warehouse.events import PiecesReceived, PiecesReserved, ProductMoved, StockTaken

__all__ = ["invariants"]


def _never_short() -> Check:
    left: dict[str, int] = {}

    def check(number: int, event: DomainEvent) -> str | None:
        match event:
            case PiecesReceived(product=product, pieces=pieces):
                left[product] = left.get(product, 0) + pieces
            case PiecesReserved(product=product, pieces=pieces):
                left[product] = left.get(product, 0) - pieces
                if left[product] < 0:
                    return f"event {number} reserves {-left[product]} pieces of {product} that are not there"
        return None

    return check


def _once() -> Check:
    seen: set[tuple[str, str]] = set()

    def check(number: int, event: DomainEvent) -> str | None:
        match event:
            case PiecesReceived(delivery=name) | PiecesReserved(order=name):
                if (type(event).__name__, name) in seen:
                    return f"event {number} is the second one of {name}"
                seen.add((type(event).__name__, name))
        return None

    return check


def _counts_are_right() -> Check:
    pieces = orders = 0

    def check(number: int, event: DomainEvent) -> str | None:
        nonlocal pieces, orders
        match event:
            case PiecesReceived(pieces=more):
                pieces += more
            case PiecesReserved(pieces=fewer):
                pieces, orders = pieces - fewer, orders + 1
            case StockTaken(pieces=counted, orders=served) if (counted, served) != (pieces, orders):
                return (
                    f"event {number} counts {counted} pieces and {served} orders, but there are {pieces} and {orders}"
                )
        return None

    return check


def _one_move_a_look() -> Check:
    moved: dict[str, int] = {}

    def check(number: int, event: DomainEvent) -> str | None:
        match event:
            case ProductMoved(product=product, seen=seen):
                before = moved.get(product, 0)
                moved[product] = number
                if seen < before:
                    return f"event {number} moves {product} as it was after {seen}, but event {before} moved it"
        return None

    return check


invariants = (
    Invariant(name="no more pieces are reserved than there are", start=_never_short),
    Invariant(name="each delivery arrives once and each order reserves once", start=_once),
    Invariant(name="each count is right", start=_counts_are_right),
    Invariant(name="no product is moved twice from one look", start=_one_move_a_look),
)
