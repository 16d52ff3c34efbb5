"""Filters: what they match, and that equivalent filters are equal."""

import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Filter, FilterItem, FilterShape, InvalidFilter, P, Predicate

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def matches(
    boundary: Filter, event_type: str = "Lent", *, at: datetime = MONDAY, number: int = 1, **payload: Any
) -> bool:
    return boundary.matches(event_type=event_type, payload=payload, occurred_at=at, sequence_number=number)


def test_any_event_matches_everything() -> None:
    assert matches(Filter.matching_any_event())
    assert matches(Filter.matching_any_event(), "Whatever", Book="b")


def test_types_match_any_of_them() -> None:
    boundary = Filter.matching().any_event_type_of("Lent", "Returned")
    assert matches(boundary, "Lent")
    assert matches(boundary, "Returned")
    assert not matches(boundary, "lent")
    assert not matches(boundary, "Len")


def test_any_predicate_is_enough() -> None:
    boundary = Filter.matching().any_predicate_of(P("Book", "b"), P("Reader", "r"))
    assert matches(boundary, Book="b")
    assert matches(boundary, Reader="r", Book="c")
    assert not matches(boundary, Reader="b", Book="r")


def test_all_predicates_are_needed() -> None:
    boundary = Filter.matching().all_predicates_of(P("Book", "b"), P("Reader", "r"))
    assert matches(boundary, Book="b", Reader="r", Other=1)
    assert not matches(boundary, Book="b")
    assert not matches(boundary, Book="b", Reader="s")


def test_two_values_of_one_field_never_match_together() -> None:
    boundary = Filter.matching().all_predicates_of(P("Book", "b"), P("Book", "c"))
    assert not matches(boundary, Book="b")
    assert not matches(boundary, Book="c")


@pytest.mark.parametrize(
    "boundary",
    [
        Filter.matching().any_event_type_of("Lent").and_any_predicate_of(P("Book", "b")),
        Filter.matching().any_predicate_of(P("Book", "b")).and_any_event_type_of("Lent"),
        Filter.matching().any_event_type_of("Lent").and_all_predicates_of(P("Book", "b")),
        Filter.matching().all_predicates_of(P("Book", "b")).and_any_event_type_of("Lent"),
    ],
)
def test_types_and_predicates_must_both_match_in_either_order(boundary: Filter) -> None:
    assert matches(boundary, "Lent", Book="b")
    assert not matches(boundary, "Returned", Book="b")
    assert not matches(boundary, "Lent", Book="c")
    assert boundary == Filter.matching().any_event_type_of("Lent").and_any_predicate_of(P("Book", "b"))


def test_all_and_any_stay_distinct_in_every_order_of_steps() -> None:
    both = P("Book", "b"), P("Reader", "r")
    assert not matches(Filter.matching().all_predicates_of(*both).and_any_event_type_of("Lent"), Book="b")
    assert not matches(Filter.matching().any_event_type_of("Lent").and_all_predicates_of(*both), Book="b")
    assert matches(Filter.matching().any_predicate_of(*both).and_any_event_type_of("Lent"), Book="b")


def test_alternatives_keep_their_own_conditions() -> None:
    boundary = (
        Filter.matching()
        .any_event_type_of("Lent")
        .and_any_predicate_of(P("Book", "b"))
        .or_matching()
        .any_event_type_of("Registered")
        .or_matching()
        .all_predicates_of(P("Reader", "r"), P("Book", "c"))
    )
    assert matches(boundary, "Lent", Book="b")
    assert matches(boundary, "Registered")
    assert matches(boundary, "Else", Reader="r", Book="c")
    assert not matches(boundary, "Lent", Book="c")
    assert not matches(boundary, "Else", Book="b")


def test_times_bound_the_whole_filter_inclusively() -> None:
    boundary = Filter.matching_any_event().occurred_from(MONDAY).and_occurred_until(MONDAY + HOUR)
    inside = [MONDAY - timedelta(microseconds=1), MONDAY, MONDAY + HOUR, MONDAY + HOUR + timedelta(microseconds=1)]
    assert [matches(boundary, at=moment) for moment in inside] == [False, True, True, False]
    assert matches(Filter.matching_any_event().occurred_from(MONDAY), at=MONDAY + 99 * HOUR)
    assert not matches(Filter.matching_any_event().occurred_from(MONDAY), at=MONDAY - HOUR)
    assert matches(Filter.matching_any_event().occurred_until(MONDAY), at=MONDAY - 99 * HOUR)
    assert not matches(Filter.matching_any_event().occurred_until(MONDAY), at=MONDAY + HOUR)
    one_moment = Filter.matching_any_event().occurred_from(MONDAY).and_occurred_until(MONDAY)
    assert matches(one_moment, at=MONDAY)


def test_a_sequence_bound_excludes_its_own_number() -> None:
    boundary = Filter.matching().any_event_type_of("Lent").sequence_number_higher_than(3)
    assert [matches(boundary, number=number) for number in (1, 3, 4)] == [False, False, True]
    assert matches(Filter.matching_any_event().sequence_number_higher_than(0), number=1)


def test_a_narrowed_filter_keeps_its_other_bounds_and_never_widens() -> None:
    boundary = Filter.matching_any_event().occurred_from(MONDAY)
    assert boundary.narrowed_above(3) == Filter(boundary.items, since=MONDAY, above=3)
    assert Filter.matching_any_event().sequence_number_higher_than(5).narrowed_above(3).above == 5
    assert boundary.above == 0


parts = st.permutations([P("a", 1), P("b", "x"), P("c", True)])
types = st.permutations(["A", "B"])


@given(st.data())
def test_equivalent_filters_are_equal_in_any_order_of_steps(data: st.DataObject) -> None:
    def build() -> Filter:
        items = [
            FilterItem(event_types=("A",)),
            Filter.matching().any_event_type_of(*data.draw(types), "A").items[0],
            Filter.matching().any_predicate_of(*data.draw(parts), P("a", Decimal("1.0"))).items[0],
            Filter.matching().all_predicates_of(*data.draw(parts)).and_any_event_type_of(*data.draw(types)).items[0],
        ]
        return Filter(tuple(data.draw(st.permutations([*items, items[0]]))))

    one, other = build(), build()
    assert one == other
    assert hash(one) == hash(other)
    assert one.digest == other.digest


def different() -> list[Filter]:
    a, b = P("a", 1), P("b", 1)
    any_event = Filter.matching_any_event()
    return [
        any_event,
        any_event.sequence_number_higher_than(1),
        any_event.sequence_number_higher_than(2),
        any_event.occurred_from(MONDAY),
        any_event.occurred_until(MONDAY),
        any_event.occurred_from(MONDAY).and_occurred_until(MONDAY),
        Filter.matching().any_event_type_of("A"),
        Filter.matching().any_event_type_of("A", "B"),
        Filter.matching().any_event_type_of("AB"),
        Filter.matching().any_predicate_of(a),
        Filter.matching().any_predicate_of(P("a", "1")),
        Filter.matching().any_predicate_of(P("a", True)),
        Filter.matching().any_predicate_of(a, b),
        Filter.matching().all_predicates_of(a, b),
        Filter.matching().any_predicate_of(a).or_matching().all_predicates_of(a, b),
        Filter.matching().any_event_type_of("A").and_any_predicate_of(a),
        Filter.matching().any_event_type_of("A").or_matching().any_predicate_of(a),
    ]


def test_filters_with_different_conditions_differ() -> None:
    filters = different()
    assert len(set(filters)) == len(filters)
    assert len({boundary.digest for boundary in filters}) == len(filters)


def test_any_and_all_of_one_predicate_are_equal() -> None:
    any_of, all_of = Filter.matching().any_predicate_of(P("a", 1)), Filter.matching().all_predicates_of(P("a", 1))
    assert any_of == all_of == Filter.matching().all_predicates_of(P("a", 1), P("a", Decimal("1.0")))
    assert any_of.digest == all_of.digest


def test_a_moment_is_the_same_in_every_time_zone() -> None:
    elsewhere = MONDAY.astimezone(timezone(5 * HOUR))
    one, other = (Filter.matching_any_event().occurred_from(moment) for moment in (MONDAY, elsewhere))
    assert one == other
    assert one.digest == other.digest


def test_a_digest_is_the_same_in_every_process_and_release() -> None:
    boundary = Filter.matching().any_event_type_of("B", "A").and_any_predicate_of(P("b", "é"), P("a", Decimal("0.50")))
    # Stored receipts hold digests: this text must never change.
    assert boundary.digest.hex() == "45015d94cf491ef34888232fa91efa93"
    program = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).digest.hex())"
    other_process = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(boundary), capture_output=True, check=True
    )
    assert other_process.stdout.decode().strip() == boundary.digest.hex()


@pytest.mark.parametrize(
    ("boundary", "shape"),
    [
        (Filter.matching_any_event(), FilterShape.ANY),
        (Filter.matching_any_event().occurred_from(MONDAY), FilterShape.ANY),
        (Filter.matching().any_event_type_of("A", "B"), FilterShape.TYPES),
        (Filter.matching().any_event_type_of("A").or_matching().any_event_type_of("B"), FilterShape.TYPES),
        (Filter.matching().any_predicate_of(P("a", 1)), FilterShape.PREDICATES),
        (Filter.matching().all_predicates_of(P("a", 1), P("b", 1)), FilterShape.PREDICATES),
        (
            Filter.matching().any_event_type_of("A").and_any_predicate_of(P("a", 1)),
            FilterShape.TYPES_AND_PREDICATES,
        ),
        (
            Filter.matching().any_event_type_of("A").or_matching().any_predicate_of(P("a", 1)),
            FilterShape.TYPES_AND_PREDICATES,
        ),
    ],
)
def test_a_filter_reports_its_kind(boundary: Filter, shape: FilterShape) -> None:
    assert boundary.shape is shape


def test_a_filter_names_every_predicate_of_its_alternatives() -> None:
    boundary = (
        Filter.matching().any_predicate_of(P("a", 1)).or_matching().all_predicates_of(P("b", 1), P("a", Decimal(1)))
    )
    assert boundary.predicates == {P("a", 1), P("b", 1)}


def test_a_step_leaves_the_filter_before_it_unchanged() -> None:
    before = Filter.matching().any_event_type_of("A")
    before.and_any_predicate_of(P("a", 1))
    before.or_matching().any_event_type_of("B")
    before.sequence_number_higher_than(9)
    assert before == Filter.matching().any_event_type_of("A")
    with pytest.raises(AttributeError):
        before.above = 3  # type: ignore[misc]  # the assignment must fail


def test_an_item_counts_its_required_predicates() -> None:
    two: tuple[Predicate, ...] = (P("a", 1), P("b", 1))
    assert FilterItem(event_types=("A",)).predicates_needed == 0
    assert FilterItem(predicates=two).predicates_needed == 1
    assert FilterItem(predicates=two, all_predicates=True).predicates_needed == 2


def test_a_filter_equals_only_filters() -> None:
    assert Filter.matching_any_event() != "any event"
    with pytest.raises(InvalidFilter):
        Filter.matching_any_event().sequence_number_higher_than(-1)
