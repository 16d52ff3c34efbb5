"""The filter for events from the options of a command line."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from eventstore import Filter, P
from eventstore.predicate import Scalar
from worker.event_filter import selected
from worker.failures import Mistake


def made(
    *conditions: str, types: tuple[str, ...] = (), any_condition: bool = False, since: str = "", until: str = ""
) -> Filter:
    return selected(types, conditions, any_condition=any_condition, since=since or None, until=until or None)


def test_options_make_a_filter() -> None:
    book, reader = P("BookID", "b"), P("ReaderID", "r")
    words = ("BookID=b", "ReaderID=r")
    assert made() == Filter.matching_any_event()
    assert made(types=("Lent", "Returned")) == Filter.matching().any_event_type_of("Returned", "Lent")
    assert made(*words) == Filter.matching().all_predicates_of(book, reader)
    assert made(*words, any_condition=True) == Filter.matching().any_predicate_of(book, reader)
    lent = Filter.matching().any_event_type_of("Lent")
    assert made(*words, types=("Lent",)) == lent.and_all_predicates_of(book, reader)
    assert made(*words, types=("Lent",), any_condition=True) == lent.and_any_predicate_of(book, reader)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ('"1"', "1"),
        ("true", True),
        ('"true"', "true"),
        ("-1.50", Decimal("-1.5")),
        ("1e2", 100),
        ("b1", "b1"),
        ("", ""),
        ("NaN", "NaN"),
        ("12-34", "12-34"),
        ("a=b", "a=b"),
        ('"a\\u00e4"', "aä"),
    ],
)
def test_a_value_is_json_or_else_a_string(written: str, value: Scalar) -> None:
    assert made(f"Key={written}") == Filter.matching().any_predicate_of(P("Key", value))


def test_times_without_a_zone_are_in_utc() -> None:
    assert made(since="2026-01-05T10:00").since == datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert made(until="2026-01-05").until == datetime(2026, 1, 5, tzinfo=UTC)
    both = made(since="2026-01-05T10:00+01:00", until="2026-01-05T09:00Z")
    assert both.since == both.until == datetime(2026, 1, 5, 9, tzinfo=UTC)
    ago = made(since="90m").since
    assert ago is not None
    assert timedelta(minutes=90) <= datetime.now(UTC) - ago < timedelta(minutes=91)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"conditions": ("BookID",)}, "is no condition: write Key=value"),
        ({"conditions": ("=b",)}, "is no condition: write Key=value"),
        ({"conditions": ("BookID=null",)}, "a string, a number, true or false"),
        ({"conditions": ("BookID=[1]",)}, "a string, a number, true or false"),
        ({"conditions": ("BookID=1e9999999999999999999",)}, "a number has at most 1,000 digits"),
        ({"conditions": ('BookID={"a":',)}, "begins like JSON and is none"),
        ({"conditions": ('BookID="b',)}, "begins like JSON and is none"),
        ({"conditions": ('BookID="\\u0000"',)}, "contains a NUL character."),
        ({"types": ("",)}, "an event type is a string"),
        ({"since": "yesterday"}, "--since 'yesterday' is not a time: write 2026-01-05T10:00, or an age such as 15m"),
        ({"until": "999999999w"}, "the calendar does not reach back so far"),
        ({"since": "2026-01-06", "until": "2026-01-05"}, "no event can occur from"),
    ],
)
def test_an_invalid_option_is_named(words: dict[str, object], sentence: str) -> None:
    given = {"types": (), "conditions": (), "any_condition": False, "since": None, "until": None} | words
    with pytest.raises(Mistake) as raised:
        selected(**given)  # type: ignore[arg-type]  # the options of one case
    assert sentence in str(raised.value)
