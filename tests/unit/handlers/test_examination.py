"""The examination finds exactly the filters that no event of a domain can match."""

from collections.abc import Hashable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntFlag, StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema, WrapSerializer, computed_field

from eventstore import Filter, P, Predicate
from handlers import DomainEvent, View
from handlers.domain import Domain
from tests.unit.handlers.lamps import decider, domain


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Rights(IntFlag):
    READ = 1
    WRITE = 2


class Share(Enum):
    HALF = Decimal("0.5")
    EIGHTH = 0.125


class Money(BaseModel):
    currency: str


class Bought(DomainEvent):
    product: str = Field(alias="Product")
    pieces: int
    price: Decimal
    weight: float
    gift: bool
    money: Money
    tags: list[str]
    size: Size
    kind: Literal["retail"]
    at: datetime
    day: date
    order: UUID
    note: str | int | None = None
    anything: Any = None
    spelt: Annotated[int, PlainSerializer(str, return_type=str)] = 0
    untold: Annotated[int, PlainSerializer(lambda value: f"{value}")] = 0
    wrapped: Annotated[int, WrapSerializer(lambda value, _: str(value))] = 0
    only_json: Annotated[Decimal, PlainSerializer(str, return_type=str, when_used="json")] = Decimal(0)
    rights: Rights = Rights.READ
    share: Share = Share.HALF
    maybe: Share | None = None
    described: Annotated[str, WithJsonSchema({"type": "integer"})] = ""
    adorned: str = Field(default="", json_schema_extra={"type": "integer"})

    @computed_field  # type: ignore[prop-decorator]  # mypy does not support decorated properties
    @property
    def total(self) -> int:
        return self.pieces


class Sold(DomainEvent):
    product: str


class Open(DomainEvent):
    model_config = ConfigDict(extra="allow", json_schema_extra={"properties": {}, "additionalProperties": False})

    product: str


MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def keep(state: int, _: DomainEvent) -> int:
    return state


def found(events: Filter) -> list[str]:
    view = View(name="seen", events=lambda: events, initial=int, evolve=keep)
    made = Domain(name="trade", views=(view,), deciders=(decider,), events=(Bought, Sold, Open))
    start = f"the view seen ({__file__}:"
    problems = list(made.examination.problems())
    assert problems == list(made.examination.problems_of(view.at()))
    assert all(problem.startswith(start) for problem in problems)
    return [problem.partition(") ")[2] for problem in problems]


def bought(*predicates: Predicate) -> Filter:
    return Filter.matching().any_event_type_of("Bought").and_any_predicate_of(*predicates)


@pytest.mark.parametrize(
    "predicate",
    [
        P("Product", "tea"),
        P("pieces", 5),
        P("pieces", Decimal("5.0")),
        P("price", Decimal("1.5")),
        P("price", 1),
        P("weight", Decimal("0.1")),
        P("gift", value=True),
        P("size", "small"),
        P("kind", "retail"),
        P("at", "2026-01-02T03:04:05Z"),
        P("at", "2026-01-02T03:04:05+02:00"),
        P("day", "2026-01-02"),
        P("order", str(UUID(int=255))),
        P("note", "x"),
        P("note", 5),
        P("anything", "x"),
        P("spelt", "5"),
        P("untold", "5"),
        P("wrapped", "5"),
        P("only_json", Decimal("1.5")),
        P("rights", 3),
        P("share", Decimal("0.5")),
        P("share", Decimal("0.125")),
        P("maybe", Decimal("0.5")),
        P("described", "a"),
        P("adorned", "a"),
        P("total", 5),
    ],
)
def test_a_filter_that_an_event_can_match_is_accepted(predicate: Predicate) -> None:
    assert found(bought(predicate)) == []


@pytest.mark.parametrize(
    ("predicate", "problem"),
    [
        (P("product", "tea"), "asks Bought for the field 'product', which it does not have (did you mean Product?)"),
        (P("money.currency", "EUR"), "asks Bought for 'money.currency': a predicate looks at one top-level field"),
        (P("pieces", "5"), "asks Bought for P('pieces', '5'), but pieces holds an integer there"),
        (P("pieces", Decimal("0.5")), "asks Bought for P('pieces', Decimal('0.5')), but pieces holds an integer there"),
        (P("pieces", value=True), "asks Bought for P('pieces', True), but pieces holds an integer there"),
        (P("price", "1.5"), "asks Bought for P('price', '1.5'), but price holds a number there"),
        (P("gift", 1), "asks Bought for P('gift', 1), but gift holds a truth there"),
        (P("Product", 5), "asks Bought for P('Product', 5), but Product holds a text there"),
        (
            P("tags", "a"),
            "asks Bought for P('tags', 'a'), but tags is a list there, and a predicate looks at one scalar",
        ),
        (
            P("money", "a"),
            "asks Bought for P('money', 'a'), but money is an object there, and a predicate looks at one scalar",
        ),
        (P("size", "huge"), "asks Bought for P('size', 'huge'), but size is 'small' or 'large' there"),
        (P("kind", "bulk"), "asks Bought for P('kind', 'bulk'), but kind is 'retail' there"),
        (
            P("at", MOMENT.isoformat()),
            ("asks Bought for P('at', '2026-01-02T03:04:05+00:00'), but at is written as '2026-01-02T03:04:05Z' there"),
        ),
        (P("at", "noon"), "asks Bought for P('at', 'noon'), but at holds a date-time there"),
        (
            P("order", UUID(int=255).hex),
            (f"asks Bought for P('order', '{UUID(int=255).hex}'), but order is written as '{UUID(int=255)}' there"),
        ),
        (P("only_json", "1.5"), "asks Bought for P('only_json', '1.5'), but only_json holds a number there"),
        (P("rights", "1"), "asks Bought for P('rights', '1'), but rights holds an integer there"),
        (P("spelt", 5), "asks Bought for P('spelt', 5), but spelt holds a text there"),
    ],
)
def test_a_filter_that_no_event_can_match_is_reported(predicate: Predicate, problem: str) -> None:
    assert found(bought(predicate)) == [problem]


def test_each_type_that_is_listed_must_be_able_to_match() -> None:
    both = Filter.matching().any_event_type_of("Bought", "Sold", "Open")
    assert found(both.and_any_predicate_of(P("Product", "tea"))) == [
        "asks Sold for the field 'Product', which it does not have (did you mean product?)"
    ]
    assert found(both.and_any_predicate_of(P("Product", "tea"), P("product", "tea"))) == []
    assert found(both.and_all_predicates_of(P("Product", "tea"), P("pieces", 1))) == [
        "asks Sold for the field 'Product', which it does not have (did you mean product?)"
    ]


def test_without_types_one_matching_event_is_enough() -> None:
    assert found(Filter.matching().any_predicate_of(P("Product", "tea"))) == []
    assert found(Filter.matching_any_event()) == []


def test_an_unlisted_type_is_reported() -> None:
    events = Filter.matching().any_event_type_of("Solt").or_matching().any_event_type_of("Bought")
    assert found(events) == ["names the event type Solt, which the domain does not list (did you mean Sold?)"]
    other = Filter.matching().any_event_type_of("Given")
    assert found(other) == ["names the event type Given, which the domain does not list; add it to its events"]


def by_product(product: str, pieces: int, order: UUID, size: Size, price: Decimal) -> Filter:
    return bought(
        P("Product", product), P("pieces", pieces), P("order", str(order)), P("size", size), P("price", price)
    )


def undeclared(product, pieces: Hashable) -> Filter:  # type: ignore[no-untyped-def]  # noqa: ANN001  undeclared on purpose
    return bought(P("Product", product), P("pieces", str(pieces)))


def failing(product: str) -> Filter:
    raise LookupError(product)


def test_views_are_examined_with_samples_of_their_declared_keys() -> None:
    made = Domain(
        name="trade",
        views=(
            View(name="one", events=by_product, initial=lambda *_: 0, evolve=keep),
            View(name="two", events=undeclared, initial=lambda *_: 0, evolve=keep),
            View(name="three", events=failing, initial=lambda *_: 0, evolve=keep),
        ),
        deciders=(decider,),
        events=(Bought,),
    )
    assert [problem.partition(") ")[2] for problem in made.examination.problems()] == [
        "cannot be asked at a sample key: LookupError: sample"
    ]
    (unseen,) = made.examination.unsampled()
    assert unseen.startswith(f"the view two ({__file__}:")
    assert unseen.endswith(") cannot be examined: events declares no type for product that has a sample")


def test_a_filter_that_differs_on_each_call_is_reported() -> None:
    def recent(product: str) -> Filter:
        of_product = Filter.matching().any_event_type_of("Bought").and_any_predicate_of(P("Product", product))
        return of_product.occurred_from(datetime.now(UTC) - timedelta(hours=1))

    products = ["tea"]

    def once(_: str) -> Filter:
        return bought(P("Product", products.pop()))

    views = tuple(
        View(name=name, events=events, initial=lambda _: 0, evolve=keep)
        for name, events in (("recent", recent), ("once", once))
    )
    made = Domain(name="trade", views=views, deciders=(decider,), events=(Bought,))
    problems = list(made.examination.problems())
    assert [problem.partition(") ")[2] for problem in problems] == [
        "is not pure: asked again, events returns another filter; a time belongs in the key",
        "is not pure: asked again, events raises IndexError: pop from empty list",
    ]
    assert list(made.examination.problems_of(views[0].at("sample"))) == problems[:1]


def test_the_lamps_domain_passes() -> None:
    assert [*domain.examination.problems(), *domain.examination.unsampled()] == []
