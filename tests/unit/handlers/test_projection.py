"""Projections and their tables: refused declarations, and accepted rows."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest

from eventstore import Filter
from handlers import (
    Domain,
    DomainEvent,
    InvalidDomain,
    InvalidProjection,
    InvalidRow,
    Projected,
    Projection,
    Statement,
    Table,
    UnknownProjection,
)
from handlers.testing import kit
from tests.support.domains.ledger import Booked, Closed, balances, ledger, others, wider, wider_changes

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
EVENTS = Filter.matching().any_event_type_of("Booked", "Closed")
plain = Table("plain", columns={"id": str, "note": str | None, "count": int}, key=("id",))


class Colour(StrEnum):
    RED = "red"


def nothing(_: Projected[DomainEvent]) -> None:
    return None


def projection(**changed: Any) -> Projection:
    given: dict[str, Any] = {"name": "p", "events": EVENTS, "tables": (plain,), "changes": nothing}
    return Projection(**given | changed)


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"name": "P"}, "a projection's name is up to 50 small letters"),
        ({"version": 0}, "has the version 0"),
        ({"version": True}, "has the version True"),
        ({"events": "Booked"}, "takes a Filter as its events, not a str"),
        ({"events": EVENTS.narrowed_above(1)}, "have a bound"),
        ({"events": EVENTS.occurred_from(NOON)}, "have a bound"),
        ({"tables": plain}, "takes a tuple of tables; is a comma missing"),
        ({"tables": ("plain",)}, "lists 'plain' among its tables"),
        ({"tables": ()}, "has no table"),
        ({"tables": (plain, plain)}, "has two tables with one name: plain"),
        ({"changes": 1}, "needs a function as its changes, not an int"),
    ],
)
def test_an_invalid_projection_is_refused(changed: dict[str, Any], refusal: str) -> None:
    with pytest.raises(InvalidProjection, match=refusal):
        projection(**changed)


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"name": "Plain"}, "a table is named by up to 48"),
        ({"name": 'x"; DROP TABLE y'}, "a table is named by up to 48"),
        ({"columns": {}}, "takes its columns as a mapping"),
        ({"columns": {"a b": str}}, "a column of the table t is named by"),
        ({"columns": {"a": set}}, "has the type <class 'set'>"),
        ({"columns": {"a": str | int}}, "has the type str | int".replace("|", r"\\|")),
        ({"key": "id"}, "takes a tuple of columns in its key, not 'id'"),
        ({"key": ("nothing",)}, "names 'nothing' in its key"),
        ({"key": ("id", "id")}, "names a column twice in its key"),
        ({"key": ("note",)}, "which may be missing or is no exact value"),
        ({"key": ("share",)}, "which may be missing or is no exact value"),
        ({"indexes": (("nothing",),)}, "names 'nothing' in its indexes"),
        ({"indexes": ((),)}, "an index of no columns"),
    ],
)
def test_an_invalid_table_is_refused(given: dict[str, Any], refusal: str) -> None:
    usual: dict[str, Any] = {"name": "t", "columns": {"id": str, "note": str | None, "share": float}}
    with pytest.raises(InvalidProjection, match=refusal):
        Table(**usual | given)


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        ({"id": "a"}, "a row of plain lacks count"),
        ({"id": "a", "count": 1, "other": 2}, "plain has no column other; it has id, note, count"),
        ({"id": "a", "cuont": 1}, "plain has no column cuont; it has id, note, count"),
        ({"id": None, "count": 1}, "plain.id may not be None; declare it as str | None if it may"),
        ({"id": "a", "count": "1"}, "plain.count holds int, not '1' (str)"),
        ({"id": "a", "count": True}, "plain.count holds int, not True (bool)"),
        ({"id": "a", "count": 2**63}, "plain.count holds integers of 64 bits"),
        ({"id": "a\x00", "count": 1}, "plain.id cannot hold a NUL character"),
        ({"id": "a\ud800", "count": 1}, "plain.id cannot hold a lone surrogate"),
    ],
)
def test_an_invalid_row_is_refused(row: dict[str, Any], refusal: str) -> None:
    with pytest.raises(InvalidRow) as refused:
        plain.upsert(**row)
    assert refusal in str(refused.value)


def test_a_misspelt_column_is_reported_before_the_missing_one() -> None:
    for misspelt in (plain.delete, plain.update, plain.upsert, plain.insert):
        with pytest.raises(InvalidRow, match="plain has no column di"):
            misspelt(di="a")


def test_values_of_each_type_are_kept_unchanged() -> None:
    values: Mapping[str, Any] = {
        "text": "x", "truth": True, "count": -1, "share": 0.5, "amount": Decimal("1.5"), "at": NOON,
        "day": date(2026, 1, 5), "id": UUID(int=7), "raw": b"x",
    }  # fmt: skip
    table = Table("t", columns={name: type(value) for name, value in values.items()}, key=("id",))
    assert table.insert(**values).row == values
    document = Table("t", columns={"what": dict, "many": list | None})
    assert document.insert(what={"b": 1, "a": [Decimal("1.5")]}, many=[1]).row == {
        "what": '{"a":[1.5],"b":1}',
        "many": "[1]",
    }
    assert plain.upsert(id=Colour.RED, count=1).row == {"id": "red", "note": None, "count": 1}
    assert type(plain.upsert(id=Colour.RED, count=1).row["id"]) is str
    with pytest.raises(InvalidRow, match="times with a zone"):
        table.insert(**{**values, "at": datetime(2026, 1, 5)})  # noqa: DTZ001  naive on purpose
    with pytest.raises(InvalidRow, match="times of the calendar in UTC"):
        table.insert(**{**values, "at": datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))})


def test_a_number_that_the_server_cannot_hold_is_refused() -> None:
    table = Table("t", columns={"amount": Decimal, "share": float})
    for held in ("9e131071", "-9e131071", "1e-16383", "0e200000", "NaN", "-Infinity"):
        table.insert(amount=Decimal(held), share=0)
    for beyond in (Decimal("1e131072"), Decimal("-1e200000"), Decimal("1e-16384")):
        with pytest.raises(InvalidRow, match=r"t\.amount holds numbers of 131,072 digits before the point and 16,383"):
            table.insert(amount=beyond, share=0)
    with pytest.raises(InvalidRow, match=r"t\.share holds no float as large as the integer"):
        table.insert(amount=0, share=10**400)


def test_keys_of_documents_become_texts() -> None:
    document = Table("t", columns={"what": dict, "many": list})
    row = document.insert(what={10: 1, 9: {date(2026, 1, 5): 2}}, many=[{UUID(int=7): Colour.RED}]).row
    assert row == {
        "what": '{"10":1,"9":{"2026-01-05":2}}',
        "many": '[{"00000000-0000-0000-0000-000000000007":"red"}]',
    }
    with pytest.raises(InvalidRow, match=r"t\.what comes out as no JSON"):
        document.insert(what={Decimal(1): 1}, many=[])


def test_updates_and_deletes_name_a_row_by_its_key() -> None:
    change = plain.update(id="a", count=2)
    assert (change.key, change.values) == (("a",), {"count": 2})
    assert plain.delete(id="a").key == ("a",)
    for wrong, refusal in (
        (lambda: plain.update(id="a"), "changes nothing"),
        (lambda: plain.update(count=1), "is identified by id"),
        (lambda: plain.delete(id="a", count=1), "deleted by id, not by count"),
        (plain.delete, "is identified by id"),
        (lambda: Table("t", columns={"a": int}).delete(a=1), "has no key"),
    ):
        with pytest.raises(InvalidRow, match=refusal):
            wrong()


def test_equal_tables_have_equal_layouts() -> None:
    again = Table("plain", columns={"id": str, "note": str | None, "count": int}, key=("id",))
    assert projection().layout == projection(tables=(again,), version=2).layout
    wider_one = Table("plain", columns={"id": str, "note": str | None, "count": int | None}, key=("id",))
    indexed = Table("plain", columns=plain.columns, key=("id",), indexes=(("count",),))
    assert len({projection(tables=(each,)).layout for each in (plain, wider_one, indexed)}) == 3


def test_a_domain_refuses_projections_that_share_a_name_or_a_table() -> None:
    with pytest.raises(InvalidDomain, match="two projections with one name: balances"):
        ledger(balances, balances)
    same = Projection(name="same", events=EVENTS, tables=(wider,), changes=wider_changes)
    with pytest.raises(InvalidDomain, match="two tables with one name: accounts"):
        ledger(balances, same)
    assert ledger(balances, others).projection("others") is others
    with pytest.raises(UnknownProjection, match=r"no projection 'balance'; did you mean balances\?"):
        ledger(balances).projection("balance")


@pytest.mark.parametrize(
    ("events", "refusal"),
    [
        (
            Filter.matching().any_event_type_of("Booked", "Bookd"),
            "is made of the event Bookd, which the domain does not",
        ),
        (Filter.matching_any_event(), "names no event type in a part of its events"),
    ],
)
def test_a_domain_refuses_a_projection_of_unknown_events(events: Filter, refusal: str) -> None:
    with pytest.raises(InvalidDomain, match=refusal):
        ledger(projection(events=events))


def test_anything_but_a_change_of_its_own_tables_is_refused() -> None:
    fact = Projected[DomainEvent](event=Closed(account="a"), number=1, occurred_at=NOON, metadata={})
    for returned, refusal in (
        (1, "returns an int, which changes no table"),
        (["x"], "returns a str, which changes no table"),
        ("x", "returns a str, which changes no table"),
        (Closed(account="a"), "returns a Closed, which changes no table"),  # a model is iterable
        ({"account": "a"}, "returns a dict, which changes no table"),
        (wider.delete(account="a"), "none of its own"),
    ):
        made = projection(changes=lambda _, returned=returned: returned)
        with pytest.raises(InvalidRow, match=refusal):
            made.changed_by(fact)
    assert projection().changed_by(fact) == []
    one = plain.delete(id="a")
    assert projection(changes=lambda _: one).changed_by(fact) == [one]
    assert projection(changes=lambda _: iter((one, one))).changed_by(fact) == [one, one]


def test_a_statement_takes_its_values_as_a_tuple() -> None:
    with pytest.raises(InvalidRow, match="is a comma missing"):
        Statement("SELECT $1", "a")  # type: ignore[arg-type]  # invalid on purpose
    with pytest.raises(InvalidRow, match="a text of SQL"):
        Statement(" ")
    with pytest.raises(InvalidRow, match=r"\$2 of a Statement holds numbers of 131,072 digits before the point"):
        Statement("SELECT $1, $2", (1, Decimal("1e131072")))


def wide_domain(version: int = 2, **changed: Any) -> tuple[Domain, Projection]:
    given: dict[str, Any] = {"name": "wide", "events": EVENTS, "tables": (wider,), "changes": wider_changes}
    made = Projection(**given | changed, version=version)
    return ledger(made), made


def test_the_kit_compares_rows_with_the_expected_ones() -> None:
    domain, wide = wide_domain()
    given = kit(domain)
    given(Booked(account="a"), Booked(account="b"), Closed(account="b"), Booked(account="a")).fills(
        wide, {wider: [{"account": "a", "note": "wider", "last": 4, "first": 1}]}
    )
    given().fills(wide, {})
    with pytest.raises(AssertionError, match="accounts holds"):
        given(Booked(account="a")).fills(wide, {wider: []})
    with pytest.raises(AssertionError, match="accounts holds"):
        given(Booked(account="a")).fills(wide, {wider: [{"account": "a", "last": 1, "first": 1}]})
    with pytest.raises(AssertionError, match="has no table plain"):
        given().fills(wide, {plain: []})
    with pytest.raises(TypeError, match="fills takes a projection"):
        given().fills(wider, {})  # type: ignore[arg-type]  # invalid on purpose
    with pytest.raises(TypeError, match="fills takes a mapping from the tables to their rows"):
        given().fills(wide, [])  # type: ignore[arg-type]  # invalid on purpose
    with pytest.raises(TypeError, match="fills takes the tables themselves, not their names"):
        given().fills(wide, {"accounts": []})  # type: ignore[dict-item]  # invalid on purpose


def test_the_kit_compares_how_often_a_row_occurs() -> None:
    diary = Table("diary", columns={"account": str})
    domain, entries = wide_domain(tables=(diary,), changes=lambda seen: diary.insert(account=seen.event.account))
    history = kit(domain)(Booked(account="a"), Booked(account="b"))
    history.fills(entries, {diary: [{"account": "b"}, {"account": "a"}]})
    with pytest.raises(AssertionError, match="diary holds"):
        history.fills(entries, {diary: [{"account": "a"}, {"account": "a"}]})
    with pytest.raises(AssertionError, match="diary holds"):
        kit(domain)(Booked(account="a"), Booked(account="a")).fills(entries, {diary: [{"account": "a"}]})


def test_the_kit_reports_impure_changes_and_statements_for_a_server() -> None:
    calls: list[int] = []

    def counting(_: Projected[DomainEvent]) -> Any:
        calls.append(1)
        return wider.upsert(account="a", last=len(calls), first=1)

    domain, wide = wide_domain(changes=counting)
    with pytest.raises(AssertionError, match="is not pure: asked twice about event 1"):
        kit(domain)(Booked(account="a")).fills(wide, {})
    with pytest.raises(AssertionError, match="returns a Statement at event 1"):
        kit(ledger(balances))(Booked(account="a")).fills(balances, {})
