"""The warehouse's invariants find each kind of wrong log, and nothing in a correct one."""

import pytest

from handlers.model import DomainEvent
from handlers.warehouse import domain
from handlers.warehouse.events import PiecesReceived, PiecesReserved, ProductMoved, StockTaken

RIGHT: tuple[DomainEvent, ...] = (
    PiecesReceived(delivery="a", product="lamp", pieces=2),
    PiecesReserved(order="a", product="lamp", pieces=1),
    ProductMoved(product="lamp", bay="north", seen=0),
    StockTaken(count="c", pieces=1, orders=1),
    ProductMoved(product="client", bay="north", seen=0),
    ProductMoved(product="lamp", bay="south", seen=3),
    PiecesReserved(order="b", product="lamp", pieces=1),
    StockTaken(count="d", pieces=0, orders=2),
)


def found(*events: DomainEvent) -> list[str]:
    checks = [invariant.start() for invariant in domain.invariants]
    numbered = list(enumerate(events, start=1))
    return [text for number, event in numbered for check in checks if (text := check(number, event)) is not None]


def test_a_correct_log_breaks_none() -> None:
    assert found(*RIGHT) == []


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (
            PiecesReserved(order="c", product="lamp", pieces=3),
            "event 9 reserves 3 pieces of lamp that are not there",
        ),
        (PiecesReceived(delivery="a", product="lamp", pieces=1), "event 9 is the second one of a"),
        (StockTaken(count="e", pieces=1, orders=2), "event 9 counts 1 pieces and 2 orders, but there are 0 and 2"),
        (
            ProductMoved(product="lamp", bay="west", seen=5),
            "event 9 moves lamp as it was after 5, but event 6 moved it",
        ),
    ],
)
def test_a_wrong_event_breaks_one(wrong: DomainEvent, text: str) -> None:
    assert found(*RIGHT, wrong) == [text]


def test_a_double_reservation_is_found() -> None:
    more = PiecesReceived(delivery="e", product="lamp", pieces=1)
    again = PiecesReserved(order="b", product="lamp", pieces=1)
    assert found(*RIGHT, more, again) == ["event 10 is the second one of b"]
