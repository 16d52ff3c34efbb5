import pickle
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, Self
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import InvalidFilter, P, Scalar
from eventstore.jsontext import decode_object, encode_object


class Field(StrEnum):
    BOOK = "BookID"


class OldField(str, Enum):  # noqa: UP042  as in code from before StrEnum
    BOOK = "BookID"


class Number(IntEnum):
    ONE = 1


class Colour(Enum):
    RED = "red"
    FIVE = 5
    YES = True
    HALF = 0.5
    NONE = None


class Size(str, Enum):  # noqa: UP042  as in code from before StrEnum
    """A string with another ``value``: payloads contain the string."""

    LARGE = ("L", "large")

    def __new__(cls, text: str, value: str) -> Self:
        member = str.__new__(cls, text)
        member._value_ = value
        return member


# Decimals are written in full, so exponents are small here; the bounds have their own test.
decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
scalars: st.SearchStrategy[Scalar] = texts | st.booleans() | st.integers()
values = scalars | decimals


def test_a_number_its_text_and_a_boolean_differ() -> None:
    three = [P("x", 1), P("x", "1"), P("x", True)]
    assert len(set(three)) == 3
    for predicate in three:
        assert [other.matches({"x": predicate.value}) for other in three] == [other is predicate for other in three]


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (1, Decimal("1.0")),
        (100, Decimal("1E+2")),
        (0, Decimal("-0.00")),
        (Decimal("0.5"), Decimal("0.500")),
        (10**40, Decimal(10**40)),
        (1, Number.ONE),
        ("BookID", Field.BOOK),
        ("BookID", OldField.BOOK),
        ("red", Colour.RED),
        (5, Colour.FIVE),
        ("L", Size.LARGE),
        ("0005-01-02", date(5, 1, 2)),
        ("0d6a3f1e-0000-4000-8000-00000000abcd", UUID("0D6A3F1E-0000-4000-8000-00000000ABCD")),
    ],
)
def test_equal_values_make_equal_predicates(value: Scalar, same: Scalar | UUID | date | Enum) -> None:
    assert P("x", value) == P("x", same)
    assert hash(P("x", value)) == hash(P("x", same))
    assert P("x", value).fragment == P("x", same).fragment


@pytest.mark.parametrize(
    "value", [Field.BOOK, OldField.BOOK, Number.ONE, Colour.RED, Colour.FIVE, Size.LARGE, date(2026, 1, 5), uuid4()]
)
def test_a_converted_value_matches_a_payload_written_with_it(value: UUID | date | Enum) -> None:
    predicate = P("x", value)
    assert predicate.matches(decode_object(encode_object({"x": value})))
    assert type(predicate.value) in {str, int}
    assert pickle.loads(pickle.dumps(predicate)) == predicate  # noqa: S301  pickled by the test itself


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (0, False),
        ("true", True),
        ("", 0),
        (2**53, 2**53 + 1),
        (10**40, 10**40 + 1),
        (Decimal("0.1"), Decimal("0.1000000000000000000000000000000000000001")),
        ("é", "e\u0301"),
        ("a", "A"),
        ("a", "a "),
    ],
)
def test_different_values_make_different_predicates(value: Scalar, other: Scalar) -> None:
    assert P("x", value) != P("x", other)
    assert P("x", value).matches({"x": value})
    assert not P("x", value).matches({"x": other})


@pytest.mark.parametrize("key", [Field.BOOK, OldField.BOOK])
def test_a_key_may_be_a_string_enumeration(key: str) -> None:
    assert P(key, 1) == P("BookID", 1)
    assert type(P(key, 1).key) is str
    assert P(key, 1).key == "BookID"


@given(texts, values)
def test_a_predicate_matches_a_payload_written_with_its_value(key: str, value: Scalar) -> None:
    predicate = P(key, value)
    assert predicate.matches(decode_object(encode_object({key: value, f"{key}'": "another"})))
    assert predicate.matches(decode_object(predicate.fragment))
    assert not predicate.matches({})


@given(values, values)
def test_predicates_are_equal_exactly_when_each_matches_the_others_value(value: Scalar, other: Scalar) -> None:
    assert (
        (P("x", value) == P("x", other)) is P("x", value).matches({"x": other}) is P("x", other).matches({"x": value})
    )


@pytest.mark.parametrize("found", [None, [1], {"x": 1}, [], "1", True])
def test_only_the_scalar_itself_matches(found: Any) -> None:
    assert not P("x", 1).matches({"x": found})
    assert not P("x", 1).matches({"y": 1, "z": {"x": 1}})


@pytest.mark.parametrize(
    "value", ["quote\" and 'quote'", "back\\slash", "line\nbreak\t\x01", "Ærø 日本 🐍", "\u2028\uffff"]
)
def test_texts_are_kept_unchanged(value: str) -> None:
    predicate = P(value, value)
    assert (predicate.key, predicate.value) == (value, value)
    assert decode_object(predicate.fragment) == {value: value}


def test_the_longest_numbers_pass_and_keep_every_digit() -> None:
    longest: list[int | Decimal] = [
        10**1000 - 1,
        1 - 10**1000,
        Decimal("1." + "1" * 999),
        Decimal("1E+999"),
        Decimal("1E-999"),
        Decimal("1" * 600 + ".5"),
    ]
    for value in longest:
        assert P("x", value).value == value
        assert decode_object(P("x", value).fragment) == {"x": value}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(10**1000, "beyond 1,000 digits", id="too long"),
        pytest.param(-(10**1000), "beyond 1,000 digits", id="too long and negative"),
        pytest.param(10**5000, "beyond 1,000 digits", id="too long to print"),
        (Decimal("1E+1000"), "beyond 1,000 digits"),
        (Decimal("1E-1000"), "beyond 1,000 digits"),
        pytest.param(Decimal("1." + "1" * 1000), "beyond 1,000 digits", id="too precise"),
        (Decimal("1E+999999999"), "beyond 1,000 digits"),
        (Decimal("NaN"), "must be finite"),
        (Decimal("sNaN"), "must be finite"),
        (Decimal("-Infinity"), "must be finite"),
        ("a\x00b", "NUL character"),
        ("\x00", "NUL character"),
        ("a\ud800b", "lone surrogate"),
        (0.5, "not float"),
        (float("nan"), "not float"),
        (None, "not NoneType"),
        (b"bytes", "not bytes"),
        ([1], "not list"),
        (Colour.YES, "not Colour"),
        (Colour.HALF, "not Colour"),
        (Colour.NONE, "not Colour"),
        (0.5, r"write Decimal\('0.5'\)$"),
        (1e300, r"write Decimal\('1e\+300'\)$"),
        (float("inf"), "not float$"),
        (None, "null or missing$"),
        (b"bytes", "such as 'Ynl0ZXM='$"),
        (datetime(2026, 1, 5, 9, 30, tzinfo=UTC), "not datetime: write the text .* such as '2026-01-05T09:30:00Z'$"),
        (time(9, 30), "such as '09:30:00'$"),
        (timedelta(days=1), "such as 'P1D'$"),
    ],
)
def test_values_that_no_engine_can_compare_are_refused(value: Any, reason: str) -> None:
    with pytest.raises(InvalidFilter, match=reason):
        P("x", value)


@pytest.mark.parametrize(
    ("key", "reason"),
    [("a\x00b", "NUL character"), ("\udfff", "lone surrogate"), (1, "not int"), (None, "not NoneType")],
)
def test_an_impossible_key_is_refused(key: Any, reason: str) -> None:
    with pytest.raises(InvalidFilter, match=reason):
        P(key, 1)


def test_a_predicate_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="cannot be changed"):
        P("x", 1).value = 2


def test_a_predicates_repr_is_its_constructor_and_it_can_be_pickled() -> None:
    predicate = P("x", Decimal("0.50"))
    assert repr(predicate) == "P('x', Decimal('0.5'))"
    assert pickle.loads(pickle.dumps(predicate)) == predicate  # noqa: S301  pickled by the test itself
    assert predicate != "P('x', Decimal('0.5'))"
