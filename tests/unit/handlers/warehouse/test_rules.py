"""Every rule of the warehouse: given a history, when a command is decided, then this is the decision."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from handlers.testing import accepted, kit, rejected, unchanged
from handlers.warehouse import domain, move_product
from handlers.warehouse.events import PiecesReceived, PiecesReserved, ProductMoved, StockTaken
from handlers.warehouse.move_product import (
    MOST_MOVES,
    MOVED_MEANWHILE,
    PERIOD_SECONDS,
    TOO_OFTEN,
    MoveProduct,
    moves_during,
    period_of,
)
from handlers.warehouse.receive_pieces import ReceivePieces
from handlers.warehouse.reserve_pieces import NOT_ENOUGH, ReservePieces
from handlers.warehouse.take_stock import TakeStock

given = kit(domain)


def received(product: str, pieces: int, delivery: str = "d") -> PiecesReceived:
    return PiecesReceived(delivery=delivery, product=product, pieces=pieces)


def reserved(order: str, product: str = "lamp", pieces: int = 1) -> PiecesReserved:
    return PiecesReserved(order=order, product=product, pieces=pieces)


def moved(product: str = "lamp", seen: int = 0) -> ProductMoved:
    return ProductMoved(product=product, bay="north", seen=seen)


def move(*, seen: int, period: int | None = None) -> MoveProduct:
    now = period_of(datetime.now(UTC))
    return MoveProduct(product="lamp", bay="north", seen=seen, period=now if period is None else period)


def test_a_delivery_arrives_once() -> None:
    command = ReceivePieces(delivery="d", product="lamp", pieces=3)
    given(received("lamp", 9, "another")).when(command).then(accepted(received("lamp", 3)))
    given(received("lamp", 3)).when(command).then(unchanged())


def test_available_stock_is_reserved_once() -> None:
    command = ReservePieces(order="o", product="lamp", pieces=2)
    given(received("lamp", 2)).when(command).then(accepted(reserved("o", pieces=2)))
    given(received("lamp", 9), reserved("o", pieces=2)).when(command).then(unchanged())
    given(received("lamp", 9), received("client", 9, "e"), reserved("o", "client")).when(command).then(unchanged())


@pytest.mark.parametrize(
    "history",
    [
        (),
        (received("client", 9),),
        (received("lamp", 2), reserved("another")),
    ],
)
def test_unavailable_stock_is_not_reserved(history: tuple[PiecesReceived | PiecesReserved, ...]) -> None:
    given(*history).when(ReservePieces(order="o", product="lamp", pieces=2)).then(rejected(NOT_ENOUGH))


def test_everything_is_counted() -> None:
    history = (received("lamp", 5), received("client", 3, "e"), reserved("o"), reserved("p", "client", 2), moved())
    count = StockTaken(count="c", pieces=5, orders=2)
    given(*history).when(TakeStock(count="c")).then(accepted(count))
    given(*history, count, moved()).when(TakeStock(count="c2")).then(unchanged())
    given(*history, count, reserved("q")).when(TakeStock(count="c2")).then(
        accepted(StockTaken(count="c2", pieces=4, orders=3))
    )


def test_one_observed_position_allows_one_move() -> None:
    given(moved("client"), moved()).when(move(seen=2)).then(accepted(moved(seen=2)))
    given(moved("client"), moved()).when(move(seen=1)).then(rejected(MOVED_MEANWHILE))
    given(moved(), moved("client")).when(move(seen=1)).then(accepted(moved(seen=1)))
    # A position beyond the head counts as the head.
    given(moved()).when(move(seen=1_000)).then(accepted(moved(seen=1_000)))


def test_a_period_allows_a_limited_number_of_moves() -> None:
    decide = move_product.decider.decide
    assert decide(move(seen=0), 0, MOST_MOVES - 1) == accepted(moved())
    assert decide(move(seen=0), 0, MOST_MOVES) == rejected(TOO_OFTEN)
    assert decide(move(seen=0), 1, MOST_MOVES) == rejected(MOVED_MEANWHILE)


def test_moves_count_for_the_period_that_they_occur_in() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    instant = timedelta(microseconds=1)

    def counts(at: datetime) -> bool:
        event = replace(domain.to_record(moved(), {}), occurred_at=at).recorded(1, 7)
        return moves_during.at("lamp", period_of(began)).filter.holds(event)

    assert [counts(at) for at in (began - instant, began)] == [False, True]
    ends = began + timedelta(seconds=PERIOD_SECONDS)
    assert [counts(at) for at in (ends - instant, ends)] == [True, False]


def test_periods_are_contiguous() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert period_of(moment + timedelta(seconds=PERIOD_SECONDS)) == period_of(moment) + 1
    assert period_of(moment + timedelta(seconds=PERIOD_SECONDS, microseconds=-1)) == period_of(moment)


def test_every_filter_can_match_an_event() -> None:
    assert list(domain.examination.problems()) == []
