"""Values that look alike stay apart, and come back as they were."""

from decimal import Decimal
from enum import IntEnum
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from eventstore import Append, ConcurrencyConflict, Event, EventStore, Filter, P
from tests.support.facts import about, fact, log, matching, positions

TEXTS = [
    "",
    " ",
    "a",
    "A",
    "a ",
    "' OR 1=1 --",
    "'; DROP TABLE events; --",
    "quote's",
    'quote"s',
    "back\\slash",
    "\\",
    "\\u0041",
    "\\'",
    "%",
    "_",
    "$1",
    "{}",
    '{"x": 1}',
    "null",
    "line\nbreak",
    "\t\r\x01\x7f",
    "é",
    "e\u0301",
    "日本",
    "🐍",
    "\u2028\uffff",
    "NaN",
    "1,2",
    "x" * 5000,
]
NUMBERS = [
    0,
    1,
    -1,
    2**53,
    2**53 + 1,
    2**64,
    10**40,
    10**40 + 1,
    -(10**40),
    10**1000 - 1,
    Decimal("0.5"),
    Decimal("-0.5"),
    Decimal("0.1"),
    Decimal("0.1000000000000000000000000000000001"),
    Decimal("1E-300"),
]
SCALARS = [*TEXTS, *NUMBERS, True, False, "true", "false", "0", "1", "-1", "0.5", str(10**40)]


async def test_every_value_is_found_alone_and_guarded_alone(store: EventStore) -> None:
    await store.append([fact(x=value) for value in SCALARS])
    places = await positions(store)
    for number, value in enumerate(SCALARS, start=1):
        assert await matching(store, about(x=value)) == [number]
        with pytest.raises(ConcurrencyConflict) as raised:
            await store.append([], boundary=about(x=value), after=places[number - 1])
        assert raised.value.sequence_number == number
        await store.append([], boundary=about(x=value), after=places[number])


async def test_every_value_comes_back_as_it_was(store: EventStore) -> None:
    await store.append([fact(x=value, nested=[{"y": value}]) for value in SCALARS])
    for event, value in zip(await log(store), SCALARS, strict=True):
        assert event.payload == {"x": value, "nested": [{"y": value}]}
        assert type(event.payload["x"]) is type(value)
        assert type(event.payload["nested"][0]["y"]) is type(value)


async def test_every_text_can_name_a_field_and_a_type(store: EventStore) -> None:
    texts = [text for text in TEXTS if 0 < len(text) <= 200]
    await store.append([Event(type=text, payload={text: text}, metadata={text: text}) for text in texts])
    for number, (event, text) in enumerate(zip(await log(store), texts, strict=True), start=1):
        assert (event.type, event.payload, event.metadata) == (text, {text: text}, {text: text})
        assert await matching(store, Filter.matching().any_predicate_of(P(text, text))) == [number]
        of_type = Filter.matching().any_event_type_of(text)
        assert await matching(store, of_type) == [number]
        with pytest.raises(ConcurrencyConflict) as raised:
            await store.append([], boundary=of_type)
        assert (raised.value.sequence_number, raised.value.event_type) == (number, text)


@pytest.mark.parametrize(
    ("forms", "asked"),
    [
        ([1, Decimal("1.0"), Decimal("1.00"), 1.0], [1, Decimal("1.0"), Decimal("1E+0")]),
        ([100, Decimal("1E+2"), 100.0], [100, Decimal("1E+2"), Decimal("100.00")]),
        ([Decimal("0.5"), Decimal("0.50"), 0.5], [Decimal("0.5"), Decimal("0.500")]),
        ([0, Decimal("0.0"), Decimal("-0.0"), -0.0], [0, Decimal(0), Decimal("-0.00")]),
    ],
)
async def test_a_number_is_one_value_in_all_its_forms(
    store: EventStore, forms: list[Any], asked: list[int | Decimal]
) -> None:
    await store.append([fact(x=form) for form in forms])
    everywhere = list(range(1, len(forms) + 1))
    places = await positions(store)
    for value in asked:
        assert await matching(store, about(x=value)) == everywhere
        together = Filter.matching().all_predicates_of(P("x", value), P("x", value + 0))
        assert await matching(store, together) == everywhere
        for number in everywhere:
            with pytest.raises(ConcurrencyConflict) as raised:
                await store.append([], boundary=about(x=value), after=places[number - 1])
            assert raised.value.sequence_number == number
    assert await matching(store, about(x=str(asked[0]))) == []


async def test_a_fraction_keeps_the_digits_it_was_written_with(store: EventStore) -> None:
    written = ["1.10", "0.000", "-12345678901234567890.123456789012345678901234567890"]
    await store.append([fact(x=Decimal(text)) for text in written])
    assert [str(event.payload["x"]) for event in await log(store)] == written


NAMED = ["", "a", "b", "Z", "é", "10", "9", "ab", "zz", "\uffff", "日本", "🐍", "longer"]
FORMS = [
    1,
    -1,
    True,
    None,
    "x",
    0.5,
    -0.0,
    1e22,
    Decimal("1E+2"),
    Decimal("-0.0"),
    Decimal("1.50E+1"),
    Decimal("0E-10"),
]


def some(random: Random, levels: int) -> Any:
    """A value whose fields have any order, and whose numbers have any form."""
    match random.randrange(4) if levels else 0:
        case 1:
            return [some(random, levels - 1) for _ in range(random.randrange(4))]
        case 2 | 3:
            names = random.sample(NAMED, random.randrange(len(NAMED)))
            return {name: some(random, levels - 1) for name in names}
        case _:
            return random.choice(FORMS)


async def test_an_event_reads_back_as_it_was_said_to_when_it_was_made(store: EventStore) -> None:
    """Down to the order of fields: a decision may depend on it, and is made on events that are not recorded yet."""
    random = Random(13)  # noqa: S311  the same values each time
    written = [
        Event(type="T", payload={"x": some(random, 3), "b": 1}, metadata={"y": some(random, 2)}) for _ in range(300)
    ]
    await store.append(written)
    for event, asked in zip(await log(store), written, strict=True):
        expected = asked.recorded(event.sequence_number, event.token)
        assert repr((event.payload, event.metadata)) == repr((expected.payload, expected.metadata))


async def test_a_value_inside_a_list_or_an_object_is_not_the_fields(store: EventStore) -> None:
    held: list[Any] = [[1], [[1]], {"x": 1}, {"1": 1}, [1, 2], None, [], {}]
    await store.append([fact(x=value) for value in held])
    for value in (1, "1", True, "x", "null", ""):
        assert await matching(store, about(x=value)) == []
        await store.append([], boundary=about(x=value))


# A type has 1 to 200 characters.
NAMES = [text[:200] for text in TEXTS if text] + ["NULL", "None", "{a,b}", "a,b", '",NULL,"', "{", "}", '\\"', "[null]"]


async def test_a_name_is_the_name_that_it_was_whatever_it_is_written_with(store: EventStore) -> None:
    chain = [
        Append(
            events=[fact(name)], boundary=Filter.matching().any_event_type_of(name, "Other"), key=uuid4(), scope=name
        )
        for name in NAMES
    ]
    receipts = await store.append_chain(chain)
    assert [event.type for event in await log(store)] == NAMES
    for number, (member, receipt) in enumerate(zip(chain, receipts, strict=True), start=1):
        assert member.key is not None
        assert await store.receipts_of(member.key) == [receipt]
        of_this_type = Filter.matching().any_event_type_of(NAMES[number - 1])
        assert await matching(store, of_this_type) == [number]
        with pytest.raises(ConcurrencyConflict) as raised:
            await store.append([], boundary=of_this_type)
        assert raised.value.sequence_number == number


class Chapter(IntEnum):
    FIRST = 1


async def test_a_bound_on_the_number_may_be_an_enumerations(store: EventStore) -> None:
    await store.append([fact(Book="b"), fact(Book="b")])
    boundary = Filter.matching_any_event().sequence_number_higher_than(Chapter.FIRST)
    assert await matching(store, boundary) == [2]
    assert await matching(store, about(Book="b").narrowed_above(Chapter.FIRST)) == [2]
    with pytest.raises(ConcurrencyConflict):
        await store.append([], boundary=boundary)
