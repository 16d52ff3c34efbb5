"""Persistent collections behave like plain ones, and are unchanged by derived collections."""

import pickle
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from handlers import PersistentMap, PersistentSet

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.text(max_size=3)))


@given(STEPS)
def test_a_map_behaves_like_a_copied_dict(steps: list[tuple[bool, int, str]]) -> None:
    plain: dict[int, str] = {}
    made: PersistentMap[int, str] = PersistentMap()
    for put, key, value in steps:
        before, was = made, dict(made)
        if put:
            plain[key] = value
            made = made.insert(key, value)
        else:
            plain.pop(key, None)
            made = made.discard(key)
        assert dict(before) == was
        assert made == plain
        assert (len(made), set(made), dict(made.items())) == (len(plain), set(plain), plain)
        assert (key in made) == (key in plain)
    again = PersistentMap(plain)
    assert (again, hash(again)) == (made, hash(made))
    assert pickle.loads(pickle.dumps(made)) == deepcopy(made) == made  # noqa: S301  pickled by the test itself


@given(STEPS)
def test_a_set_behaves_like_a_copied_set(steps: list[tuple[bool, int, str]]) -> None:
    plain: set[int] = set()
    made: PersistentSet[int] = PersistentSet()
    for put, member, _ in steps:
        before, was = made, set(made)
        if put:
            plain.add(member)
            made = made.insert(member)
        else:
            plain.discard(member)
            made = made.discard(member)
        assert set(before) == was
        assert made == plain
        assert (len(made), set(made), member in made) == (len(plain), plain, member in plain)
    again = PersistentSet(plain)
    assert (again, hash(again)) == (made, hash(made))
    assert pickle.loads(pickle.dumps(made)) == deepcopy(made) == made  # noqa: S301  pickled by the test itself


def test_an_operation_without_effect_returns_the_same_object() -> None:
    held, members = PersistentMap({"a": 1}), PersistentSet(["a"])
    assert held.discard("b") is held
    assert members.discard("b") is members.insert("a") is members
    assert repr(held) == "PersistentMap({'a': 1})"
    assert repr(members) == "PersistentSet(['a'])"


class Shelf(BaseModel):
    pieces: PersistentMap[int, str] = PersistentMap()
    tags: PersistentSet[str] = PersistentSet()


def test_they_are_fields_that_round_trip() -> None:
    shelf = Shelf(pieces=PersistentMap({1: "a"}), tags=PersistentSet(["x"]))
    assert shelf.model_dump_json() == '{"pieces":{"1":"a"},"tags":["x"]}'
    assert Shelf.model_validate_json(shelf.model_dump_json()) == shelf
    anything: TypeAdapter[Any] = TypeAdapter(PersistentMap)
    assert anything.validate_json(b'{"a": [1]}') == PersistentMap({"a": [1]})
