"""A type checker refuses a ``decide`` that does not match its parts, and a key that does not match its view."""

import re
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[3]
PREAMBLE = """
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID
from eventstore import Filter, P
from handlers import Command, Decider, Decision, Domain, DomainEvent, Part, Parts, Unchanged, View

class Ask(Command):
    name: str
    names: list[str]
    number: int

@dataclass(frozen=True)
class Shelf:
    pieces: int = 0

def by_name(name: str) -> Filter: return Filter.matching().any_predicate_of(P("name", name))
def by_both(name: str, number: int) -> Filter: return Filter.matching().any_predicate_of(P("name", name))
def by_three(name: str, number: int, truth: bool) -> Filter: return by_name(name)
def by_id(each: UUID) -> Filter: return Filter.matching().any_predicate_of(P("id", str(each)))
def all_of_it() -> Filter: return Filter.matching().any_event_type_of("Any")
def put(shelf: Shelf, event: DomainEvent) -> Shelf: return shelf
def spell(state: str, event: DomainEvent) -> str: return state + "x"
def count(n: int, event: DomainEvent) -> int: return n + 1

shelf = View(name="shelf", events=by_name, initial=lambda _: Shelf(), evolve=put)
seen = View(name="seen", events=by_name, initial=lambda _: False, evolve=lambda *_: True)
both = View(name="both", events=by_both, initial=lambda *_: "", evolve=spell)
all_three = View(name="three", events=by_three, initial=lambda *_: 0, evolve=count)
ident = View(name="ident", events=by_id, initial=lambda _: 0, evolve=count)
every = View(name="every", events=all_of_it, initial=lambda: 0, evolve=count)

def three(c: Ask) -> tuple[Part[Shelf], Part[bool], Part[str]]:
    return shelf.at(c.name), seen.at(c.name), both.at(c.name, c.number)

def d0(command: Ask) -> Decision: return Unchanged()
def d_shelf(command: Ask, shelf: Shelf) -> Decision: return Unchanged()
def d_int(command: Ask, n: int) -> Decision: return Unchanged()
def d_two(command: Ask, shelf: Shelf, seen: bool) -> Decision: return Unchanged()
def d_three(command: Ask, a: Shelf, b: bool, c: str) -> Decision: return Unchanged()
def d_four(command: Ask, a: Shelf, b: bool, c: str, d: int) -> Decision: return Unchanged()
def d_five(command: Ask, a: Shelf, b: bool, c: str, d: int, e: Shelf) -> Decision: return Unchanged()
def d_many(command: Ask, a: Mapping[str, Shelf]) -> Decision: return Unchanged()
def d_many_and_one(command: Ask, a: Mapping[str, Shelf], b: bool) -> Decision: return Unchanged()
def d_pairs(command: Ask, a: Mapping[tuple[str, int], str]) -> Decision: return Unchanged()
def d_wrong_many(command: Ask, a: Mapping[int, Shelf]) -> Decision: return Unchanged()
def d_wrong_state(command: Ask, a: Mapping[str, int]) -> Decision: return Unchanged()
class Other(Command): ...
def d_other(command: Other, shelf: Shelf) -> Decision: return Unchanged()
d1, d2 = d_shelf, d_other
def no_decision(command: Ask, shelf: Shelf) -> str: return ""
"""
GOOD = """
Decider(command=Ask, parts=lambda c: (), decide=d0)
Decider(command=Ask, parts=lambda c: shelf.at(c.name), decide=d_shelf)
Decider(command=Ask, parts=lambda c: (shelf.at(c.name),), decide=d_shelf)
Decider(command=Ask, parts=lambda c: every.at(), decide=d_int)
Decider(command=Ask, parts=lambda c: seen.at(c.name), decide=d_int)
Decider(command=Ask, parts=lambda c: (shelf.at(c.name), seen.at(c.name)), decide=d_two)
Decider(command=Ask, parts=lambda c: (shelf.at(c.name), seen.at(c.name), both.at(c.name, c.number)), decide=d_three)
Decider(command=Ask, parts=lambda c: (*three(c), every.at()), decide=d_four)
Decider(command=Ask, parts=lambda c: (*three(c), every.at(), shelf.at("b")), decide=d_five)
Decider(command=Ask, parts=lambda c: shelf.at_each(c.names), decide=d_many)
Decider(command=Ask, parts=lambda c: (shelf.at_each(c.names), seen.at(c.name)), decide=d_many_and_one)
Decider(command=Ask, parts=lambda c: shelf.at(c.name), decide=lambda c, s: d_int(c, s.pieces))
Domain(name="d", views=(), events=(), deciders=(Decider(command=Ask, parts=lambda c: shelf.at(c.name), decide=d1),))
part: Part[Shelf] = shelf.at(name="a")
parts: Parts[UUID, int] = ident.at_each([UUID(int=1)])
pairs: Parts[tuple[str, int], str] = both.at_each([("a", 1)])
Decider(command=Ask, parts=lambda c: both.at_each((name, c.number) for name in c.names), decide=d_pairs)
triples: Parts[tuple[str, int, bool], int] = all_three.at_each({("a", 1, True)})
"""
BAD = """
Decider(command=Ask, parts=lambda c: shelf.at(c.name), decide=d0)
Decider(command=Ask, parts=lambda c: shelf.at(c.name), decide=d_int)
Decider(command=Ask, parts=lambda c: shelf.at(c.name), decide=d_two)
Decider(command=Ask, parts=lambda c: shelf.at(c.name), decide=d_other)
Decider(command=Ask, parts=lambda c: shelf.at(c.name), decide=no_decision)
Decider(command=Ask, parts=lambda c: (shelf.at(c.name), seen.at(c.name)), decide=d_shelf)
Decider(command=Ask, parts=lambda c: (seen.at(c.name), shelf.at(c.name)), decide=d_two)
Decider(command=Ask, parts=lambda c: (shelf.at(c.name), seen.at(c.name), every.at()), decide=d_three)
Decider(command=Ask, parts=lambda c: (*three(c), both.at("", 1)), decide=d_four)
Decider(command=Ask, parts=lambda c: (*three(c), every.at(), seen.at("b")), decide=d_five)
Decider(command=Ask, parts=lambda c: shelf.at_each(c.names), decide=d_shelf)
Decider(command=Ask, parts=lambda c: shelf.at_each(c.names), decide=d_wrong_many)
Decider(command=Ask, parts=lambda c: shelf.at_each(c.names), decide=d_wrong_state)
Decider(command=Ask, parts=lambda c: [shelf.at(c.name)], decide=d_shelf)
Decider(command=Ask, parts=lambda c: by_name(c.name), decide=d_shelf)
Decider(command=Ask, parts=lambda c: shelf.at(c.nmae), decide=d_shelf)
Decider(command=Ask, parts=lambda c: shelf.at(c.number), decide=d_shelf)
Domain(name="d", views=(), events=(), deciders=(Decider(command=Ask, parts=lambda c: shelf.at(c.number), decide=d1),))
Domain(name="d", views=(), events=(), deciders=(Decider(command=Ask, parts=lambda c: shelf.at(c.name), decide=d2),))
Domain(name="d", views=(), events=(), deciders=(Decider(command=Ask, parts=shelf.at, decide=d_shelf),))
shelf.at()
shelf.at("a", "b")
both.at("a")
both.at(1, "a")
shelf.at(5)
shelf.at(product="a")
every.at("a")
ident.at("a")
shelf.at_each([1])
both.at_each(["a"])
both.at_each([(1, "a")])
all_three.at_each([("a", 1)])
Decider(command=Ask, parts=lambda c: both.at_each((name, c.number) for name in c.names), decide=d_many)
View(name="v", events=by_name, initial=lambda _: 0, evolve=put)
View(name="v", events=lambda: "no filter", initial=lambda: 0, evolve=count)
"""


def test_exactly_the_mismatches_are_refused(tmp_path: Path) -> None:
    module = tmp_path / "snippets.py"
    text = PREAMBLE + GOOD + BAD
    module.write_text(text)
    said, problem, _ = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"), str(module)]
    )
    assert problem == ""
    refused = {int(line) for line in re.findall(r"snippets\.py:(\d+): error", said)}
    lines = text.splitlines()
    bad = set(range(len((PREAMBLE + GOOD).splitlines()) + 1, len(lines) + 1))
    bad -= {number for number in bad if not lines[number - 1]}
    assert {lines[number - 1] for number in refused} == {lines[number - 1] for number in bad}, said
