"""Collapsed changes have the same result as the single changes."""

from collections.abc import Callable
from itertools import product
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import Delete, Insert, InvalidRow, Row, Statement, Table, Update, Upsert
from handlers.row_tables import RowTables
from worker.reading.pending_changes import PendingChanges
from worker.reading.table_sql import writes

RowChange: TypeAlias = Insert | Upsert | Update | Delete

KEYS = ("a", "b", "c")
keyed = Table("keyed", columns={"id": str, "x": int, "y": int | None}, key=("id",))
loose = Table("loose", columns={"x": int})

ids, numbers = st.sampled_from(KEYS), st.integers(0, 3)
changes = st.one_of(
    st.builds(lambda key, x: keyed.insert(id=key, x=x), ids, numbers),
    st.builds(lambda key, x, y: keyed.upsert(id=key, x=x, y=y), ids, numbers, numbers),
    st.builds(lambda key, x: keyed.update(id=key, x=x), ids, numbers),
    st.builds(lambda key, y: keyed.update(id=key, y=y), ids, numbers),
    st.builds(lambda key: keyed.delete(id=key), ids),
    st.builds(lambda x: loose.insert(x=x), numbers),
)


class Server:
    """Runs the statements of ``writes`` on rows, according to their texts, or fails like a server."""

    def __init__(self, rows: dict[str, Row]) -> None:
        self.rows = dict(rows)
        self.loose: list[Row] = []

    def run(self, sql: str, values: list[list[Any]]) -> None:
        verb, _, rest = sql.partition(" ")
        columns = list(zip(*values, strict=True))
        if '"loose"' in sql:
            self.loose += [{"x": x} for (x,) in columns]
        elif verb == "INSERT":
            for row in (dict(zip(("id", "x", "y"), each, strict=True)) for each in columns):
                if row["id"] in self.rows and "ON CONFLICT" not in rest:
                    raise InvalidRow("duplicate key")
                self.rows[row["id"]] = row
        elif verb == "DELETE":
            for (key,) in columns:
                self.rows.pop(key, None)
        else:
            name = "x" if '"x" = v."x"' in sql else "y"
            both = '"x" = v."x"' in sql and '"y" = v."y"' in sql
            names = sorted(("x", "y"), key=lambda each: sql.index(f'"{each}" = v.')) if both else [name]
            for key, *changed in columns:
                if key in self.rows:
                    self.rows[key] = self.rows[key] | dict(zip(names, changed, strict=True))


# Each kind of change of a row, as the change with a number.
_OF_ONE_ROW: tuple[Callable[[int], RowChange], ...] = (
    lambda n: keyed.insert(id="a", x=n),
    lambda n: keyed.upsert(id="a", x=n, y=n),
    lambda n: keyed.update(id="a", x=n),
    lambda n: keyed.update(id="a", y=n),
    lambda _: keyed.delete(id="a"),
)


@given(st.lists(st.tuples(ids, numbers), max_size=3), st.lists(changes, max_size=12))
def test_collapsed_changes_give_the_same_rows_or_the_same_error(
    before: list[tuple[str, int]], batch: list[RowChange]
) -> None:
    _compare(before, batch)


@pytest.mark.parametrize("length", range(1, 6))
@pytest.mark.parametrize("before", [[], [("a", 9)]], ids=["no row", "a row"])
def test_every_order_of_changes_of_a_row_gives_the_same_row_or_the_same_error(
    before: list[tuple[str, int]], length: int
) -> None:
    for kinds in product(_OF_ONE_ROW, repeat=length):
        _compare(before, [kind(number) for number, kind in enumerate(kinds)])


def _compare(before: list[tuple[str, int]], batch: list[RowChange]) -> None:
    there = {key: {"id": key, "x": x, "y": None} for key, x in before}
    one_by_one = RowTables((keyed, loose))
    for row in there.values():
        one_by_one.apply(keyed.insert(**row))
    server, failed = Server(there), False
    try:
        for change in batch:
            one_by_one.apply(change)
    except InvalidRow:
        failed = True
    try:
        pending = PendingChanges()
        pending.add(batch)
        for step in pending.steps:
            for table, collapsed in step.tables.items():
                for sql, values in writes(table, collapsed):
                    server.run(sql, values)
    except InvalidRow:
        assert failed
        return
    assert not failed
    by_key = {row["id"]: row for row in one_by_one.rows(keyed)}
    assert server.rows == by_key
    assert server.loose == one_by_one.rows(loose)


def test_a_batch_is_written_with_few_statements() -> None:
    pending = PendingChanges()
    for n in range(1000):
        pending.add([keyed.upsert(id=f"k{n % 100}", x=n), loose.insert(x=n)])
    ((first, (ids_, xs, _)), (second, (loose_xs,))) = [
        written for step in pending.steps for table, each in step.tables.items() for written in writes(table, each)
    ]
    assert first.startswith('INSERT INTO "keyed"')
    assert (len(ids_), len(xs), max(xs)) == (100, 100, 999)
    assert second.startswith('INSERT INTO "loose"')
    assert loose_xs == list(range(1000))


@pytest.mark.parametrize(("touches", "steps"), [((), 20), ((loose,), 1), ((keyed,), 20)])
def test_a_statement_sees_exactly_the_changes_before_it(touches: tuple[Table, ...], steps: int) -> None:
    pending = PendingChanges()
    for n in range(20):
        pending.add([keyed.upsert(id="a", x=n), Statement("SELECT 1", touches=touches)])
    assert len(pending.steps) == steps
    assert sum(len(step.statements) for step in pending.steps) == 20
