import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.jsontext import MAX_DEPTH, NotJson, NumberTooLong, Unstorable, canonical, decode_object, encode_object


@dataclass
class Holder:
    """An object that the JSON writer converts to its value."""

    value: object


class Text(Enum):
    NUL = "a\x00b"
    PLAIN = "plain"


class Size(Enum):
    WHOLE = 2
    HALF = 0.5
    EXACT = Decimal("1.5")


class Number(IntEnum):
    ONE = 1


class Name(StrEnum):
    PLAIN = "plain"


class Count(int):
    """An integer that is converted to another JSON value."""


texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
leaves = st.none() | st.booleans() | st.integers() | decimals | texts
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
objects = st.dictionaries(texts, trees, max_size=4)
few_examples = settings(max_examples=60)


@few_examples
@given(objects)
def test_every_json_value_round_trips_and_is_standard_json(value: dict[str, Any]) -> None:
    text = encode_object(value)
    assert decode_object(text) == value
    assert json.loads(text, parse_float=Decimal) == value


@pytest.mark.parametrize("number", [2**53 + 1, 2**64, -(2**64), 10**40 + 1, 0, -1])
def test_integers_of_any_size_stay_integers(number: int) -> None:
    found = decode_object(encode_object({"x": number}))["x"]
    assert type(found) is int
    assert found == number


@pytest.mark.parametrize("number", ["0.1", "1.0", "0.1000000000000000000000000000000000001", "-123456789.987654321"])
def test_fractions_keep_every_digit(number: str) -> None:
    assert str(decode_object(encode_object({"x": Decimal(number)}))["x"]) == number


def test_a_float_is_read_back_as_a_decimal() -> None:
    assert decode_object(encode_object({"x": 0.1, "y": 1e22})) == {"x": Decimal("0.1"), "y": Decimal("1e22")}


def test_dates_identifiers_and_enumerations_are_written_as_strings() -> None:
    value = {
        "at": datetime(2026, 1, 5, 12, 30, tzinfo=UTC),
        "on": date(2026, 1, 5),
        "id": UUID(int=1),
        "text": Text.PLAIN,
        "holder": Holder((1, "x")),
    }
    assert decode_object(encode_object(value)) == {
        "at": "2026-01-05T12:30:00Z",
        "on": "2026-01-05",
        "id": "00000000-0000-0000-0000-000000000001",
        "text": "plain",
        "holder": {"value": [1, "x"]},
    }


KEYS: dict[object, str] = {
    7: "7",
    -7: "-7",
    2**70: str(2**70),
    1.5: "1.5",
    UUID(int=1): "00000000-0000-0000-0000-000000000001",
    date(2026, 1, 5): "2026-01-05",
    datetime(2026, 1, 5, 12, 30, tzinfo=UTC): "2026-01-05T12:30:00Z",
    timedelta(days=1): "P1D",
    Text.PLAIN: "plain",
    Name.PLAIN: "plain",
    Number.ONE: "1",
    Size.WHOLE: "2",
    Size.HALF: "0.5",
    "1.5": "1.5",
}


@pytest.mark.parametrize(("key", "written"), KEYS.items(), ids=repr)
def test_a_key_is_written_like_the_same_value(key: object, written: str) -> None:
    for value, found in (({key: 1}, {written: 1}), ({"x": [{key: {}}]}, {"x": [{written: {}}]})):
        assert decode_object(encode_object(value)) == found


NO_KEYS = (
    Decimal("1.5"),
    Decimal(1),
    Decimal("-1E+5"),
    Decimal("NaN"),
    Decimal("-Infinity"),
    Size.EXACT,
    Count(1),
    True,
    None,
    (1, 2),
    frozenset({1}),
)


@pytest.mark.parametrize("key", NO_KEYS, ids=repr)
def test_a_key_that_cannot_be_a_string_is_refused(key: object) -> None:
    values: tuple[object, ...] = ({key: 1}, {"x": {key: 1}}, {"x": [{"y": ({key: []},)}]}, {"x": None, "y": {key: 1}})
    for value in values:
        with pytest.raises(Unstorable, match="keys"):
            encode_object(value)


def test_any_mapping_is_an_object() -> None:
    assert encode_object(MappingProxyType({"x": 1})) == '{"x":1}'


@pytest.mark.parametrize("text", ["NaN", "Infinity", "null", "\\u0000", "1e9999", "9" * 2000, "[[[", "\x01"])
def test_a_string_may_contain_a_number_that_is_refused(text: str) -> None:
    assert decode_object(encode_object({text: [text]})) == {text: [text]}


def test_the_longest_numbers_pass() -> None:
    longest = {"int": 10**1000 - 1, "digits": Decimal("1." + "1" * 999), "large": Decimal("1E+999")}
    assert decode_object(encode_object(longest)) == longest
    assert decode_object(encode_object({"small": Decimal("1E-999")})) == {"small": Decimal("1E-999")}


UNSTORABLE: dict[str, tuple[object, str]] = {
    "a list": ([1], "must be a JSON object, not list"),
    "nothing": (None, "must be a JSON object, not NoneType"),
    "text": ('{"x": 1}', "must be a JSON object, not str"),
    "an unknown object": ({"x": object()}, "object"),
    "raw text that is no JSON": ({"x": msgspec.Raw(b"nonsense")}, "no JSON"),
    "raw text that is none at all": ({"x": msgspec.Raw(b'"\xff"')}, "utf-8"),
    "a mapping inside": ({"x": MappingProxyType({})}, "mappingproxy"),
    "NUL": ({"x": "a\x00b"}, "NUL character"),
    "NUL in a key": ({"a\x00b": 1}, "NUL character"),
    "NUL deep inside": ({"x": [{"y": ("\x00",)}]}, "NUL character"),
    "NUL in an enumeration": ({"x": Text.NUL}, "NUL character"),
    "NUL in a dataclass": ({"x": Holder("\x00")}, "NUL character"),
    "NUL in a set": ({"x": {"\x00"}}, "NUL character"),
    "a lone surrogate": ({"x": "\ud800"}, "lone surrogate"),
    "a lone surrogate in a key": ({"\udfff": 1}, "lone surrogate"),
    "NaN": ({"x": float("nan")}, "NaN"),
    "NaN in a list": ({"x": [1, float("nan")]}, "NaN"),
    "NaN in a dataclass": ({"x": Holder(float("nan"))}, "NaN"),
    "an infinity": ({"x": float("-inf")}, "Infinity"),
    "a decimal NaN": ({"x": Decimal("NaN")}, "NaN"),
    "a decimal infinity": ({"x": Decimal("Infinity")}, "Infinity"),
    "a long integer": ({"x": 10**1000}, "beyond 1,000 digits"),
    "a long negative integer": ({"x": -(10**1000)}, "beyond 1,000 digits"),
    "an integer too long to print": ({"x": [10**5000]}, "^contains a number beyond 1,000 digits"),
    "a large decimal": ({"x": Decimal("1E+1000")}, "beyond 1,000 digits"),
    "a small decimal": ({"x": Decimal("1E-1000")}, "beyond 1,000 digits"),
    "a precise decimal": ({"x": Decimal("1." + "1" * 1000)}, "beyond 1,000 digits"),
    "a long number in a dataclass": ({"x": Holder(10**1000)}, "beyond 1,000 digits"),
}


@pytest.mark.parametrize(("value", "reason"), UNSTORABLE.values(), ids=UNSTORABLE)
def test_values_that_cannot_be_stored_are_refused_with_their_path(value: Any, reason: str) -> None:
    with pytest.raises(Unstorable, match=reason):
        encode_object(value)


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"x": value}
    return value


def deeper_in_the_stack(frames: int, call: Callable[[], object]) -> object:
    return call() if frames == 0 else deeper_in_the_stack(frames - 1, call)


def test_texts_can_be_read_deep_in_the_stack() -> None:
    text = encode_object(nested(MAX_DEPTH))
    assert deeper_in_the_stack(300, lambda: decode_object(text)) == nested(MAX_DEPTH)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ('{"x": 1e9999999999999999999}', NumberTooLong, "a number has more than 1,000 digits"),
        ('{"x": [-0.5E-9999999999999999999]}', NumberTooLong, "a number has more than 1,000 digits"),
        ("{nope", NotJson, "JSON is malformed"),
        (b'{"x": "\xff"}', NotJson, r"it is not UTF-8 \(byte 7\)"),
        (r'{"x": "\ude00\ud83d"}', NotJson, "surrogate pair"),
        (r'{"x": "\ud83d\ude00\ud83d"}', NotJson, r"\\ud83d is half of a surrogate pair \(byte 19\)"),
        (r'{"x": "\\ud83d', NotJson, "Input data was truncated"),
        ("[" * 100_000, NotJson, "the text is nested too deeply"),
    ],
)
def test_an_unreadable_text_raises_one_kind_of_error(text: str | bytes, error: type[NotJson], said: str) -> None:
    with pytest.raises(NotJson, match=said) as raised:
        decode_object(text)
    assert type(raised.value) is error


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 800, 100_000])
def test_too_deep_nesting_is_refused(levels: int) -> None:
    with pytest.raises(Unstorable, match="nested too deeply"):
        encode_object(nested(levels))


def test_many_brackets_side_by_side_are_not_deep() -> None:
    wide: dict[str, Any] = {"x": [[]] * 2 * MAX_DEPTH}
    assert decode_object(encode_object(wide)) == wide


@pytest.mark.parametrize("text", ["", "{", '{"x": NaN}', b"\xff", "{} {}"])
def test_invalid_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the parser's message varies
        decode_object(text)


@few_examples
@given(objects, st.randoms(use_true_random=False))
def test_the_canonical_text_does_not_depend_on_the_order_of_keys(value: dict[str, Any], random: Any) -> None:
    shuffled = list(value.items())
    random.shuffle(shuffled)
    assert canonical(dict(shuffled)) == canonical(value)


def test_the_canonical_text_keeps_the_order_of_lists() -> None:
    assert canonical([1, 2]) != canonical([2, 1])
