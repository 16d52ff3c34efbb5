from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import ACCEPTED, START, Append, BoundaryPart, Event, Filter, InvalidRequest, P, Position, RecordedEvent
from eventstore.arguments import check_batch_size

KEY = UUID(int=1)
BOOK = Filter.matching().any_predicate_of(P("Book", "b"))


def lent(**payload: Any) -> Event:
    return Event(type="Lent", payload=payload)


def append(*events: Event, **arguments: Any) -> Append:
    return Append(events=events, **arguments)


def test_defaults_are_filled_in() -> None:
    event = lent()
    asked = append(event, boundary=BOOK)
    assert asked.events == (event,)
    assert asked.parts == (BoundaryPart(filter=BOOK, after=START),)
    assert asked.digest is None
    assert asked.outcome is ACCEPTED


def test_given_arguments_are_kept() -> None:
    position = Position(number=3, token=7)
    asked = append(boundary=BOOK, after=position, key=KEY, digest=b"mine")
    assert (asked.key, asked.digest) == (KEY, b"mine")
    assert asked.parts == (BoundaryPart(filter=BOOK, after=position),)


def test_other_parts_change_nothing_else() -> None:
    asked = append(lent(), boundary=BOOK, key=KEY)
    later = BoundaryPart(filter=BOOK, after=Position(number=9, token=1))
    moved = asked.with_parts([later])
    assert moved.parts == (later,)
    assert moved.with_parts(asked.parts) == asked


def digest(*events: Event, boundary: Filter | None = None) -> bytes | None:
    return append(*events, boundary=boundary, key=KEY).digest


def test_equal_requests_have_one_digest_in_every_process() -> None:
    first = Event(type="Lent", payload={"a": 1}, metadata={"by": "x"}, occurred_at=datetime(2026, 1, 5, tzinfo=UTC))
    again = Event(type="Lent", payload={"a": 1}, metadata={"by": "y"})
    assert digest(first, boundary=BOOK) == digest(again, boundary=BOOK)
    assert append(first, key=KEY).digest == append(first, key=uuid4()).digest
    earlier = append(first, boundary=BOOK, key=KEY, after=Position(number=3, token=7))
    assert earlier.digest == digest(first, boundary=BOOK)


def test_the_order_of_a_payloads_fields_does_not_matter() -> None:
    assert digest(lent(a=1, b={"x": 1, "y": 2})) == digest(lent(b={"y": 2, "x": 1}, a=1))
    assert digest(lent(a=1, b=2)) != digest(lent(a=2, b=1))


@pytest.mark.parametrize("outcome", [None, "accepted", {"kind": "accepted"}])
def test_an_invalid_outcome_is_refused(outcome: object) -> None:
    with pytest.raises(InvalidRequest, match="as its outcome"):
        append(lent(), outcome=outcome)


def test_equivalent_boundaries_have_one_digest() -> None:
    one = Filter.matching().any_predicate_of(P("a", 1), P("b", 1))
    other = Filter.matching().any_predicate_of(P("b", Decimal("1.0")), P("a", 1))
    assert digest(boundary=one) == digest(boundary=other)


def test_different_requests_have_different_digests() -> None:
    other = Filter.matching().any_predicate_of(P("Book", "c"))
    digests = [
        digest(),
        digest(boundary=BOOK),
        digest(boundary=other),
        digest(lent()),
        digest(lent(), boundary=BOOK),
        digest(lent(), lent()),
        digest(lent(a=1)),
        digest(lent(a="1")),
        digest(lent(a=1), lent(b=1)),
        digest(lent(b=1), lent(a=1)),
        digest(Event(type="Lent{}", payload={})),
        digest(Event(type="Lent", payload={}), Event(type="{}", payload={})),
    ]
    assert len(set(digests)) == len(digests)


def test_a_position_without_a_boundary_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="needs a boundary"):
        append(lent(), after=START)


@pytest.mark.parametrize("refused", [b"", b"x" * 65])
def test_a_digest_has_1_to_64_bytes(refused: bytes) -> None:
    with pytest.raises(InvalidRequest, match="1 to 64 bytes"):
        append(key=KEY, digest=refused)
    assert append(key=KEY, digest=b"x" * 64).digest == b"x" * 64


RECORDED = RecordedEvent(
    sequence_number=1, token=1, type="Lent", payload={}, metadata={}, occurred_at=datetime(2026, 1, 5, tzinfo=UTC)
)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("boundary", {"boundary": Filter.matching()}),
        ("boundary", {"boundary": "Lent"}),
        ("position", {"boundary": BOOK, "after": 3}),
        ("key", {"key": str(KEY)}),
    ],
)
def test_an_argument_of_another_type_is_named(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=f"as its {name}"):
        append(**arguments)


@pytest.mark.parametrize("event", [RECORDED, {"type": "Lent"}, None])
def test_anything_but_an_event_is_refused(event: Any) -> None:
    with pytest.raises(InvalidRequest, match="as its event"):
        append(lent(), event)


def test_an_empty_batch_is_refused() -> None:
    check_batch_size(1)
    for size in (0, -1):
        with pytest.raises(InvalidRequest, match="1 or more"):
            check_batch_size(size)
