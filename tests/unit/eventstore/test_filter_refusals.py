"""Refusals of filters: each input would otherwise silently mean something else, or fail inside an engine."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from eventstore import Filter, InvalidFilter, InvalidRequest, P

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
NAIVE = datetime(2026, 1, 5)  # noqa: DTZ001  the test is about naive times


@pytest.mark.parametrize(
    ("event_type", "reason"),
    [
        ("", "without NUL"),
        ("A\x00", "without NUL"),
        ("A\ud800", "lone surrogate"),
        (1, "is a string"),
        (None, "is a string"),
        (P("a", 1), "is a string"),
        (Filter, "write 'Filter', or Filter.__name__, not the class"),
        (["A", "B"], "named one after the other, not in a list: leave out its brackets"),
        (("A", "B"), "named one after the other, not in a list"),
    ],
)
def test_an_invalid_event_type_is_refused(event_type: Any, reason: str) -> None:
    with pytest.raises(InvalidFilter, match=reason):
        Filter.matching().any_event_type_of(event_type)
    with pytest.raises(InvalidFilter, match=reason):
        Filter.matching().any_predicate_of(P("a", 1)).and_any_event_type_of(event_type)


@pytest.mark.parametrize("predicate", ["a", ("a", 1), {"a": 1}, None])
def test_an_invalid_predicate_is_refused(predicate: Any) -> None:
    with pytest.raises(InvalidFilter, match=r"made with P\(key, value\)"):
        Filter.matching().any_predicate_of(predicate)
    with pytest.raises(InvalidFilter, match=r"made with P\(key, value\)"):
        Filter.matching().any_event_type_of("A").and_all_predicates_of(P("a", 1), predicate)


def test_a_missing_condition_is_a_type_error() -> None:
    builder: Any = Filter.matching()
    for step in (builder.any_event_type_of, builder.any_predicate_of, builder.all_predicates_of):
        with pytest.raises(TypeError):
            step()


def steps(value: object) -> set[str]:
    return {name for name in dir(value) if name.startswith(("any_", "all_", "and_", "or_", "occurred", "sequence"))}


BOUNDS = {"occurred_from", "occurred_until", "sequence_number_higher_than"}


@pytest.mark.parametrize(
    ("value", "offered"),
    [
        (Filter.matching(), {"any_event_type_of", "any_predicate_of", "all_predicates_of"}),
        (Filter.matching_any_event(), BOUNDS),
        (
            Filter.matching().any_event_type_of("A"),
            {"and_any_predicate_of", "and_all_predicates_of", "or_matching", *BOUNDS},
        ),
        (Filter.matching().any_predicate_of(P("a", 1)), {"and_any_event_type_of", "or_matching", *BOUNDS}),
        (Filter.matching().all_predicates_of(P("a", 1)), {"and_any_event_type_of", "or_matching", *BOUNDS}),
        (
            Filter.matching().any_predicate_of(P("a", 1)).and_any_event_type_of("A"),
            {"or_matching", *BOUNDS},
        ),
        (
            Filter.matching().any_event_type_of("A").and_any_predicate_of(P("a", 1)),
            {"or_matching", *BOUNDS},
        ),
        (Filter.matching_any_event().occurred_from(MONDAY), {"and_occurred_until"}),
        (Filter.matching_any_event().occurred_from(MONDAY).and_occurred_until(MONDAY), set()),
        (Filter.matching_any_event().occurred_until(MONDAY), set()),
        (Filter.matching_any_event().sequence_number_higher_than(1), set()),
    ],
)
def test_each_step_has_only_the_valid_next_steps(value: object, offered: set[str]) -> None:
    assert steps(value) == offered


def test_a_step_that_cannot_follow_is_reported_with_those_that_can() -> None:
    begun: Any = Filter.matching()
    with pytest.raises(AttributeError) as raised:
        begun.any_event_type_of("A").any_predicate_of(P("a", 1))
    assert str(raised.value) == (
        "any_predicate_of cannot follow at this place of a filter: it goes on with and_all_predicates_of, "
        "and_any_predicate_of, occurred_from, occurred_until, or_matching, sequence_number_higher_than"
    )
    with pytest.raises(AttributeError, match=r"with all_predicates_of, any_event_type_of, any_predicate_of$"):
        begun.and_any_event_type_of("A")
    with pytest.raises(AttributeError, match=r"occurred_from cannot follow at this place of a filter: it is complete$"):
        begun.any_event_type_of("A").occurred_until(MONDAY).occurred_from(MONDAY)
    with pytest.raises(AttributeError, match=r"^'ItemBuilder' object has no attribute 'items'$"):
        _ = begun.items


def test_an_incomplete_filter_is_no_filter() -> None:
    assert not isinstance(Filter.matching(), Filter)
    assert not isinstance(Filter.matching().any_event_type_of("A").or_matching(), Filter)


def test_a_time_needs_a_zone() -> None:
    with pytest.raises(InvalidFilter, match="time zone"):
        Filter.matching_any_event().occurred_from(NAIVE)
    with pytest.raises(InvalidFilter, match="time zone"):
        Filter.matching_any_event().occurred_until(NAIVE)
    with pytest.raises(InvalidFilter, match="time zone"):
        Filter.matching_any_event().occurred_from(MONDAY).and_occurred_until(NAIVE)


def test_times_that_exclude_each_other_are_refused() -> None:
    since = Filter.matching_any_event().occurred_from(MONDAY)
    with pytest.raises(InvalidFilter, match="no event can occur"):
        since.and_occurred_until(MONDAY - timedelta(microseconds=1))


def test_a_time_outside_the_calendar_is_refused() -> None:
    east, west = timezone(timedelta(hours=1)), timezone(timedelta(hours=-1))
    with pytest.raises(InvalidFilter, match="outside the calendar"):
        Filter.matching_any_event().occurred_from(datetime.min.replace(tzinfo=east))
    with pytest.raises(InvalidFilter, match="outside the calendar"):
        Filter.matching_any_event().occurred_until(datetime.max.replace(tzinfo=west))
    assert Filter.matching_any_event().occurred_until(datetime.max.replace(tzinfo=UTC)).until is not None


@pytest.mark.parametrize("number", [-1, 2**63, 1.5, True, "1", None])
def test_an_impossible_sequence_bound_is_refused(number: Any) -> None:
    with pytest.raises(InvalidFilter, match="from 0 to 9223372036854775807"):
        Filter.matching_any_event().sequence_number_higher_than(number)


def test_a_refusal_is_an_invalid_request_and_a_value_error() -> None:
    assert issubclass(InvalidFilter, InvalidRequest)
    assert issubclass(InvalidFilter, ValueError)
