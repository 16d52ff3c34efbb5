"""Move a product: one look-up of its place allows one move, and a period allows a limited number.

The first boundary is bounded by number: moves since the look-up. The second is bounded by time.
"""

from datetime import UTC, datetime, timedelta

from pydantic import Field, NonNegativeInt

from eventstore import Filter, P
from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Rejected
from handlers.model import Command, DomainEvent
from handlers.part import Part
from handlers.view import View
from handlers.warehouse.events import Name, ProductMoved

__all__ = [
    "MOST_MOVES",
    "MOVED_MEANWHILE",
    "PERIOD_SECONDS",
    "TOO_OFTEN",
    "MoveProduct",
    "decider",
    "moves_during",
    "moves_since",
    "period_of",
]

PERIOD_SECONDS = 5
MOST_MOVES = 30
"""The largest number of moves of a product in a period."""
_FIRST_PERIOD = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)

MOVED_MEANWHILE = "product was moved meanwhile"
TOO_OFTEN = f"product was moved {MOST_MOVES} times in this period"


class MoveProduct(Command):
    """Put a product into another bay, unless it was moved since the look-up, or too often."""

    product: Name = Field(alias="Product")
    bay: Name = Field(alias="Bay")
    seen: NonNegativeInt = Field(alias="Seen")
    """The sequence number of the head at the look-up."""
    period: NonNegativeInt = Field(alias="Period", le=10**9)
    """The period that the move counts for, as a number of periods since 1970."""


def period_of(moment: datetime) -> int:
    """Return the number of the period that includes a time."""
    return int((moment - _FIRST_PERIOD).total_seconds()) // PERIOD_SECONDS


def _since(product: str, seen: int) -> Filter:
    moved = Filter.matching().any_event_type_of(ProductMoved.__name__).and_any_predicate_of(P("Product", product))
    return moved.sequence_number_higher_than(seen)


def _during(product: str, period: int) -> Filter:
    moved = Filter.matching().any_event_type_of(ProductMoved.__name__).and_any_predicate_of(P("Product", product))
    begins = _FIRST_PERIOD + period * timedelta(seconds=PERIOD_SECONDS)
    return moved.occurred_from(begins).and_occurred_until(begins + timedelta(seconds=PERIOD_SECONDS) - _INSTANT)


def _one_more(count: int, _: DomainEvent) -> int:
    return count + 1


def _parts(command: MoveProduct) -> tuple[Part[int], Part[int]]:
    return moves_since.at(command.product, command.seen), moves_during.at(command.product, command.period)


def _decide(command: MoveProduct, since: int, during: int) -> Decision:
    if since:
        return Rejected(reason=MOVED_MEANWHILE)
    if during >= MOST_MOVES:
        return Rejected(reason=TOO_OFTEN)
    return Accepted(events=(ProductMoved(product=command.product, bay=command.bay, seen=command.seen),))


moves_since = View(name="moves-since", events=_since, initial=lambda *_: 0, evolve=_one_more)
moves_during = View(name="moves-during", events=_during, initial=lambda *_: 0, evolve=_one_more)
decider = Decider(command=MoveProduct, parts=_parts, decide=_decide)
