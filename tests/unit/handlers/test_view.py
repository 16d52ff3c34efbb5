"""Keys of views have one canonical form: equivalent keys name one part."""

from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import partial, wraps
from typing import Any, Literal, NewType, Protocol, TypeVar
from uuid import UUID

import pytest
from typing_extensions import TypeAliasType

from eventstore import Filter, InvalidFilter, P
from handlers import DomainEvent, InvalidKey, InvalidView, Part, View
from handlers.kind import kind_of
from tests.unit.handlers.lamps import evolve, light

Isbn = NewType("Isbn", str)


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Plain(Enum):
    RED = "red"
    HALF = 0.5


class Shouted(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


def keep(state: Any, _: DomainEvent) -> Any:
    return state


def view(events: Callable[..., Filter], name: str = "thing", initial: Callable[..., Any] = lambda *key: key) -> Any:
    return View(name=name, events=events, initial=initial, evolve=keep)


def undeclared(key) -> Filter:  # type: ignore[no-untyped-def]  # noqa: ANN001  undeclared on purpose
    return Filter.matching().any_predicate_of(P("key", key))


anything = view(undeclared)


@pytest.mark.parametrize(
    ("key", "text", "scalar"),
    [
        ("tea", '["tea"]', "tea"),
        ('a"b\\\n\u2028é', '["a\\"b\\\\\\n\u2028é"]', 'a"b\\\n\u2028é'),
        (Shouted("tea"), '["tea"]', "tea"),
        (Colour.RED, '["red"]', "red"),
        (Plain.RED, '["red"]', "red"),
        (Level.LOW, "[1]", 1),
        (1, "[1]", 1),
        (True, "[true]", True),
        (10**30, f"[{10**30}]", 10**30),
        (Decimal("1.0"), "[1]", 1),
        (Decimal("1.50"), "[1.5]", Decimal("1.5")),
        (UUID(int=255), '["00000000-0000-0000-0000-0000000000ff"]', "00000000-0000-0000-0000-0000000000ff"),
        (date(2026, 1, 2), '["2026-01-02"]', "2026-01-02"),
    ],
)
def test_a_key_has_the_form_of_a_payload_value(key: Any, text: str, scalar: Any) -> None:
    part = anything.at(key)
    assert (part.identity.key, part.key) == (text, (scalar,))
    assert type(part.key[0]) is type(scalar)
    assert part.initial() == (scalar,)
    assert part.filter == undeclared(scalar)


@pytest.mark.parametrize(
    "keys", [(1, Decimal("1.0"), Level.LOW), ("red", Colour.RED, Plain.RED), ("2026-01-02", date(2026, 1, 2))]
)
def test_equivalent_keys_are_one_part(keys: tuple[Any, ...]) -> None:
    parts = {anything.at(key) for key in keys}
    assert len(parts) == 1
    # The state does not depend on which form was used first.
    for order in (keys, keys[::-1]):
        fresh = view(undeclared)
        assert len({repr(fresh.at(key).initial()) for key in order}) == 1


@pytest.mark.parametrize("keys", [(1, True, "1"), (0, False, "0", "")])
def test_keys_that_are_equal_in_python_only_are_different_parts(keys: tuple[Any, ...]) -> None:
    assert len({anything.at(key) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (1.5, "key of the view thing is a float, whose decimal digits are ambiguous: use a Decimal or a str"),
        (None, "key of the view thing is None: a view about everything has no key"),
        (b"x", "key of the view thing is bytes: use the str that the event's field holds"),
        (
            datetime(2026, 1, 2, tzinfo=UTC),
            (
                "key of the view thing is a datetime, which JSON spells in many ways: make the event's field a str, "
                "and use the same str"
            ),
        ),
        (
            ["a"],
            (
                "key of the view thing is a list: use a str, bool, int, Decimal, UUID, date, or an enumeration of str "
                "or int"
            ),
        ),
        (
            Plain.HALF,
            (
                "key of the view thing is a Plain: use a str, bool, int, Decimal, UUID, date, or an enumeration of "
                "str or int"
            ),
        ),
    ],
)
def test_a_key_of_a_wrong_type_is_refused_with_the_spelling_to_use(key: Any, sentence: str) -> None:
    with pytest.raises(InvalidKey) as raised:
        anything.at(key)
    assert str(raised.value) == sentence


@pytest.mark.parametrize("key", ["a\x00", "\ud800", 10**1000, Decimal("NaN"), Decimal("1e2000")])
def test_an_impossible_key_value_is_not_reported_as_the_views_fault(key: Any) -> None:
    with pytest.raises(InvalidFilter):
        anything.at(key)


def of_uuid(key: UUID) -> Filter:
    return Filter.matching().any_predicate_of(P("key", key.hex))


def of_day(key: date) -> Filter:
    return Filter.matching().any_predicate_of(P("year", key.year))


def of_colour(key: Colour) -> Filter:
    return Filter.matching().any_predicate_of(P("key", key.name))


def of_price(key: Decimal) -> Filter:
    return Filter.matching().any_predicate_of(P("key", key.scaleb(2)))


def of_shouted(key: Shouted) -> Filter:
    return Filter.matching().any_predicate_of(P("key", str(key)))


@pytest.mark.parametrize(
    ("events", "key"),
    [
        (of_uuid, UUID(int=7)),
        (of_day, date(2026, 1, 2)),
        (of_colour, Colour.RED),
        (of_price, Decimal("1.5")),
        (of_shouted, Shouted("tea")),
    ],
)
def test_the_views_functions_get_their_declared_type(events: Callable[..., Filter], key: Any) -> None:
    part = view(events).at(key)
    assert part.filter == events(key)
    assert part.initial() == (key,)
    assert type(part.initial()[0]) is type(key)


def of_text(key: str) -> Filter:
    return undeclared(key)


def of_number(key: int) -> Filter:
    return undeclared(key)


def of_isbn(key: Isbn) -> Filter:
    return undeclared(key)


AnyText = TypeVar("AnyText", bound=str)


class Loud(Protocol):
    def upper(self) -> str: ...


def declared_as(kind: Any) -> Callable[..., Filter]:
    def events(key: Any) -> Filter:
        return undeclared(key)

    events.__annotations__["key"] = kind
    return events


@pytest.mark.parametrize(
    "kind", [TypeAliasType("BookID", str), TypeAliasType("ID", TypeAliasType("Text", str)), AnyText, Literal["a", "b"]]
)
def test_a_type_alias_declares_the_type(kind: Any) -> None:
    declared = view(declared_as(kind))
    assert declared.key[0].types == (str,)
    assert declared.at("a").key == ("a",)
    with pytest.raises(InvalidKey, match="takes str for key, not int"):
        declared.at(1)


@pytest.mark.parametrize("kind", [Loud, Hashable, Enum, StrEnum, IntEnum, TypeVar("Free"), "Unknown"])
def test_a_common_base_type_may_be_declared(kind: Any) -> None:
    declared = view(declared_as(kind))
    assert declared.at(Colour.RED if kind is not IntEnum else Level.LOW).key in {("red",), (1,)}


def of_either(key: int | str) -> Filter:
    return undeclared(key)


@pytest.mark.parametrize(
    ("events", "key", "sentence"),
    [
        (of_text, 5, "the view thing takes str for key, not int"),
        (of_isbn, 5, "the view thing takes str for key, not int"),
        (of_number, "5", "the view thing takes int for key, not str"),
        (of_number, True, "the view thing takes int for key, not bool"),
        (of_either, UUID(int=1), "the view thing takes int or str for key, not UUID"),
        (of_day, datetime(2026, 1, 2, tzinfo=UTC), "the view thing takes date for key, not datetime"),
    ],
)
def test_a_key_of_an_undeclared_type_is_refused(events: Callable[..., Filter], key: Any, sentence: str) -> None:
    with pytest.raises(InvalidKey) as raised:
        view(events).at(key)
    assert str(raised.value) == sentence


def of_two(product: str, warehouse: str = "north") -> Filter:
    return Filter.matching().all_predicates_of(P("product", product), P("warehouse", warehouse))


def test_a_key_may_have_several_values_by_place_by_name_and_by_default() -> None:
    two = view(of_two)
    parts = {
        two.at("tea"),
        two.at("tea", "north"),
        two.at(warehouse="north", product="tea"),
        two.at("tea", warehouse="north"),
    }
    assert [part.identity.key for part in parts] == ['["tea","north"]']


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), (("a", "b", "c"), {}), (("a",), {"product": "b"}), (("a",), {"shop": "b"})]
)
def test_a_key_with_too_few_or_too_many_values_is_refused(given: tuple[str, ...], named: dict[str, str]) -> None:
    with pytest.raises(InvalidKey, match="the key of the view thing is made of product, warehouse: "):
        view(of_two).at(*given, **named)


def test_a_view_without_a_key_has_one_part() -> None:
    everything = view(lambda: Filter.matching().any_event_type_of("A"))
    assert everything.at() == everything.at()
    assert everything.at().identity.key == "[]"
    assert repr(everything.at()) == "thing.at()"


def test_parts_differ_by_view_version_key_and_filter() -> None:
    older = View(name="light", events=light.events, initial=lambda _: "off", evolve=evolve)
    newer = View(name="light", events=light.events, initial=lambda _: "off", evolve=evolve, version=2)
    other = View(name="glow", events=light.events, initial=lambda _: "off", evolve=evolve)
    wider = View(name="light", events=lambda _: Filter.matching_any_event(), initial=lambda _: "off", evolve=evolve)
    parts = {light.at("a"), newer.at("a"), other.at("a"), wider.at("a"), light.at("b")}
    assert len(parts) == 5
    assert older.at("a") in parts
    assert light.at("a") != "light"


def test_parts_of_several_keys_keep_the_given_keys() -> None:
    parts = view(of_uuid).at_each(iter([UUID(int=2), UUID(int=1), UUID(int=2)]))
    assert [part.key for part in parts.parts] == [(str(UUID(int=2)),), (str(UUID(int=1)),)]
    states = {part: part.key for part in parts.parts}
    assert parts.argument(states) == {UUID(int=number): (str(UUID(int=number)),) for number in (2, 1)}


def of_shelf(product: str, number: int) -> Filter:
    return Filter.matching().all_predicates_of(P("product", product), P("number", number))


def test_each_of_several_keys_of_several_values_is_a_tuple() -> None:
    keys = [("a", 2), ("b", 1), ("a", 2)]
    parts = view(of_shelf).at_each(keys)
    assert [part.key for part in parts.parts] == [("a", 2), ("b", 1)]
    states = {part: part.key for part in parts.parts}
    assert parts.argument(states) == {key: key for key in keys}


@pytest.mark.parametrize("keys", ["ab", [("a",)], [("a", 2, 3)], [5], [("a", "b")], [["a", 2]]])
def test_a_key_of_several_values_must_be_a_tuple(keys: Any) -> None:
    with pytest.raises(InvalidKey, match=r"the view thing|at_each takes several keys"):
        view(of_shelf).at_each(keys)


def test_a_key_of_one_value_must_not_be_a_tuple() -> None:
    keys: Any = [("a",)]
    with pytest.raises(InvalidKey, match="the view light takes str for lamp, not tuple"):
        light.at_each(keys)


def test_several_keys_that_are_equal_in_python_are_refused() -> None:
    with pytest.raises(InvalidKey, match=r"thing\.at\(1\) and thing\.at\(True\) are two keys, but one for Python"):
        anything.at_each([True, 1])


@pytest.mark.parametrize("keys", ["abc", b"abc", 5, None])
def test_a_single_key_is_refused_for_several(keys: Any) -> None:
    with pytest.raises(InvalidKey, match=f"at_each takes several keys, not {kind_of(keys)}"):
        light.at_each(keys)


def test_a_part_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="a part cannot be changed"):
        light.at("a").key = ()


async def later(*_: Any) -> str:
    return "off"


def bit_by_bit(*_: Any) -> Iterator[str]:
    yield "off"


class Later:
    async def __call__(self, *_: Any) -> str:
        return "off"


def test_a_synchronous_wrapper_of_a_coroutine_is_accepted() -> None:
    @wraps(later)
    def at_once(*_: Any) -> str:
        return "off"

    assert View(name="light", events=light.events, initial=at_once, evolve=evolve).at("a").initial() == "off"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "Light"}, "a view's name is up to 50 small letters"),
        ({"name": ""}, "a view's name is up to 50 small letters"),
        ({"name": None}, "a view's name is up to 50 small letters, .*; None is not"),
        ({"version": 0}, "the view light has the version 0; it is an integer from 1 to 2147483647"),
        ({"version": "1"}, "the view light has the version '1'; it is an integer"),
        ({"version": 1.5}, "the view light has the version 1.5; it is an integer"),
        ({"version": None}, "the view light has the version None; it is an integer"),
        ({"version": 2**31}, "the view light has the version 2147483648; it is an integer from 1 to 2147483647"),
        ({"stored_every": 0}, "the view light has the stored_every 0; it is an integer from 1"),
        ({"stored_every": True}, "the view light has the stored_every True; it is an integer from 1"),
        ({"evolve": lambda state: state}, "evolve of the view light is called with a state and an event"),
        ({"events": dict}, "takes its key as the parameters of events, and <class 'dict'> has none"),
        ({"evolve": "off"}, "the view light needs a function as its evolve, not a str"),
        ({"initial": "off"}, "the view light needs a function as its initial, not a str"),
        ({"initial": later}, "needs a function as its initial, and this one is async: nothing is awaited here"),
        ({"events": partial(later)}, "needs a function as its events, and this one is async: nothing is awaited here"),
        ({"evolve": Later()}, "needs a function as its evolve, and this one is async: nothing is awaited here"),
        ({"evolve": bit_by_bit}, "needs a function as its evolve, and this one yields: it must return"),
        ({"initial": lambda: "off"}, "initial of the view light is called with the key, as events is"),
        ({"events": lambda *keys: keys}, r"takes its key as plain parameters of events, which \*keys is not"),
        ({"events": lambda *, lamp: lamp}, "takes its key as plain parameters of events, which lamp is not"),
    ],
)
def test_an_invalid_view_is_refused(change: dict[str, Any], sentence: str) -> None:
    parts: dict[str, Any] = {"name": "light", "events": light.events, "initial": lambda _: "off", "evolve": evolve}
    with pytest.raises(InvalidView, match=sentence):
        View(**(parts | change))


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        (lambda key: [key], "returns a Filter, not a list"),
        (lambda key: Filter.matching().any_predicate_of(P(f"{key}\x00", 1)), "contains a NUL character"),
        (lambda _: Filter.matching().any_predicate_of(P("at", 0.5)), "float"),  # type: ignore[arg-type]  # invalid on purpose
    ],
)
def test_an_invalid_result_of_events_is_reported_with_its_location(events: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(InvalidView, match=sentence) as raised:
        view(events).at("a")
    assert f"({__file__}:" in str(raised.value)


def test_stop_iteration_never_ends_a_list_of_parts() -> None:
    """Otherwise the boundary would silently lack all later parts."""

    def stopping(key: str) -> Filter:
        return next(iter(())) if key == "b" else Filter.matching().any_predicate_of(P("key", key))

    with pytest.raises(RuntimeError, match=r"events of the view thing \(.*\) raised StopIteration"):
        tuple(map(view(stopping).at, ["a", "b", "c"]))
    made = view(undeclared, initial=stopping)
    with pytest.raises(RuntimeError, match=r"initial of the view thing raised StopIteration at thing.at\('b'\)"):
        tuple(map(Part.initial, map(made.at, ["a", "b", "c"])))


class Fraction(Enum):
    HALF = 0.5


def test_a_key_that_may_be_none_is_refused_at_its_declaration() -> None:
    def events(day: str | None) -> Filter:
        return Filter.matching().any_predicate_of(P("day", day or ""))

    with pytest.raises(InvalidView) as raised:
        View(name="thing", events=events, initial=lambda _: 0, evolve=lambda state, _: state)
    assert str(raised.value) == (
        "events of the view thing declares that day may be None, and no predicate finds a field that is None: "
        "leave None out of its type"
    )


@pytest.mark.parametrize("kind", [datetime, float, bytes, time, list[str], dict, Fraction, str | complex])
def test_an_invalid_key_type_is_refused_at_its_declaration(kind: Any) -> None:
    def events(day: Any) -> Filter:
        return Filter.matching().any_predicate_of(P("day", day))

    events.__annotations__["day"] = kind
    with pytest.raises(InvalidView, match="events of the view thing declares day as "):
        View(name="thing", events=events, initial=lambda _: 0, evolve=lambda state, _: state)
