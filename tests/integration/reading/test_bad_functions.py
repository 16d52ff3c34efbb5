"""Functions that no projection should have: each stops it at the event, in a sentence, behind all before it."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventstore.postgres import PostgresEventStore
from handlers import Change, Delete, DomainEvent, Insert, Projected, Projection, Statement, Table, Upsert
from tests.integration.reading.projecting import book, coordinating, rows
from tests.support.domains.ledger import EVENTS, Booked, ledger
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

notes = Table("notes", columns={"number": int, "note": str}, key=("number",))
_undeclared = Table("elsewhere", columns={"number": int}, key=("number",))


def _ends(_: Projected[DomainEvent]) -> Change:
    sys.exit("the projection has ended")


def _begins(seen: Projected[DomainEvent]) -> Iterator[Change]:
    yield notes.insert(number=seen.number, note="half")
    raise ValueError("half of it")


def _recurs(seen: Projected[DomainEvent]) -> Change:
    return _recurs(seen)


def _stated(sql: str, *values: object) -> Callable[[Projected[DomainEvent]], Change]:
    return lambda _: Statement(sql, values)


def _text(text: Any) -> Callable[[Projected[DomainEvent]], Change]:
    return lambda seen: notes.insert(number=seen.number, note=text)


BAD: dict[str, tuple[Callable[[Projected[DomainEvent]], Any], str]] = {
    "exit": (_ends, "HandlerCrashed: SystemExit: the projection has ended"),
    "halfway": (_begins, "ValueError: half of it"),
    "recursion": (_recurs, "RecursionError"),
    "undeclared": (lambda seen: _undeclared.insert(number=seen.number), "which is none of its own"),
    "number": (lambda _: 5, "returns an int, which changes no table"),
    "row": (lambda seen: [{"number": seen.number}], "returns a dict, which changes no table"),
    "type": (_text(b"bytes"), "notes.note holds str, not b'bytes'"),
    "nul": (_text("a\0b"), "notes.note cannot hold a NUL character"),
    "surrogate": (_text("\ud800"), "cannot hold a lone surrogate"),
    "syntax": (_stated("INSERT IN notes"), "syntax error"),
    "two statements": (_stated("DELETE FROM notes; DELETE FROM notes"), "multiple commands"),
    "no such table": (_stated("DELETE FROM nowhere"), '"nowhere" does not exist'),
    "too few values": (_stated("DELETE FROM notes WHERE number = $1"), "takes 1 value, and is given 0"),
    "no value": (_stated("DELETE FROM notes WHERE note = $1", object()), "expected str"),
    "no column": (lambda seen: Insert(table=notes, row={"number": seen.number}), "lacks a column"),
    "no key": (lambda _: Upsert(table=notes, row={"note": "a"}), "KeyError: 'number'"),
    "part of a key": (lambda _: Delete(table=notes, key=()), "a part of the key"),
    "type of a row": (
        lambda _: Insert(table=notes, row={"number": "1", "note": "a"}),
        "interpreted as an integer",
    ),
    "commit": (_stated("/* done */ commit"), "must not be COMMIT"),
    "commit behind nothing": (_stated("; -- done\rcommit"), "must not be COMMIT"),
}


def _function(bad: Callable[[Projected[DomainEvent]], Any]) -> Callable[[Projected[DomainEvent]], Any]:
    def changes(seen: Projected[DomainEvent]) -> Any:
        if isinstance(seen.event, Booked) and seen.event.account == "bad":
            return bad(seen)
        return notes.insert(number=seen.number, note="good")

    return changes


@pytest.mark.parametrize("name", BAD)
async def test_it_stops_at_the_event_behind_all_before_it(database: Database, name: str) -> None:
    bad, told = BAD[name]
    projection = Projection(name="bad", events=EVENTS, tables=(notes,), changes=_function(bad))
    async with PostgresEventStore.connect(database.url) as store:
        await book(store, "a", "b", "bad", "c")
        async with coordinating(database.url, ledger(projection)) as coordinator:

            async def is_stopped() -> bool:
                return any(running.failure or running.trouble for running in coordinator.running.values())

            await eventually(is_stopped, what="the projection to stop")
            (running,) = coordinator.running.values()
            assert running.trouble is None
            assert running.failure is not None
            assert running.failure.number == 3
            assert told in running.failure.error
    asked = "SELECT number, failed_number FROM reading.followers"
    assert await rows(database.admin_url, asked) == [(2, 3)]
    assert await rows(database.url, "SELECT number, note FROM read_ledger.notes") == [(1, "good"), (2, "good")]


async def test_ten_megabytes_are_a_value_like_any_other(database: Database) -> None:
    projection = Projection(name="large", events=EVENTS, tables=(notes,), changes=_text("a" * 10_000_000))
    async with PostgresEventStore.connect(database.url) as store:
        await book(store, *["a"] * 4)
        async with coordinating(database.url, ledger(projection)):

            async def are_there() -> bool:
                found = await rows(database.url, "SELECT count(*), min(length(note)) FROM read_ledger.notes")
                return found == [(4, 10_000_000)]

            await eventually(are_there, what="the rows")
