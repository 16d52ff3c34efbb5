"""Archived rows in files: few are in memory at a time, and all are synced to disk."""

from pathlib import Path
from typing import Any

import pytest

from eventstore import InvalidRequest
from eventstore.postgres import archive
from eventstore.postgres.administration.archiving import manifest, moving
from eventstore.postgres.administration.archiving.archive_file import Described
from eventstore.postgres.administration.archiving.archived_row import ArchivedRow
from eventstore.postgres.administration.archiving.event_table import EventTable, EventTableWriter, parquet

_MIB = 1024**2


def row_of(number: int, size: int) -> ArchivedRow:
    return ArchivedRow(number, number, "Large", 0, "x" * size, "{}")


def test_large_events_are_restored_in_small_batches(tmp_path: Path) -> None:
    """One statement with all of them would exceed PostgreSQL's limit: they could never be restored."""
    written = [row_of(number, _MIB) for number in range(1, 71)]
    with EventTableWriter(tmp_path / "file") as writer:
        writer.add(written)
    found = list(EventTable(tmp_path / "file").rows())
    assert [row for rows in found for row in rows] == written
    assert max(sum(len(row.payload) for row in rows) for rows in found) <= 32 * _MIB


@pytest.mark.parametrize(
    ("place", "values", "told"),
    [(4, [None], "it lacks a value"), (4, [5], "it has columns of other types"), (1, ["5"], "of other types")],
)
def test_a_file_with_other_values_is_refused_in_a_sentence(
    tmp_path: Path, place: int, values: list[object], told: str
) -> None:
    path = tmp_path / "file"
    with EventTableWriter(path) as writer:
        writer.add([row_of(1, 5)])
    arrow, module = parquet()
    table = module.read_table(path)
    column = arrow.array(values, type=table.schema.types[place] if values == [None] else None)
    changed = table.set_column(place, arrow.field(table.schema.names[place], column.type), column)
    module.write_table(changed, path)
    with pytest.raises(InvalidRequest, match=f"cannot be read as archived events: .*{told}"):
        list(EventTable(path).rows())


def test_a_new_directory_is_synced_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(manifest, "_flush", flushed.append)
    manifest.make_directory(tmp_path / "deep" / "archive")
    assert set(flushed) == {tmp_path, tmp_path / "deep"}
    manifest.make_directory(tmp_path / "deep" / "archive")
    assert len(flushed) == 2


@pytest.mark.parametrize(
    ("to", "told"),
    [
        (
            "s3://bucket/archive",
            "^s3:/bucket/archive looks like an address, and would be a directory of this machine: ",
        ),
        ("file:///srv/archive", "looks like an address"),
        ("/srv/\udcff", r"^'/srv/\\udcff' is no text in UTF-8"),
    ],
)
async def test_an_invalid_directory_is_refused_first(to: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        await archive("postgresql://nobody@127.0.0.1:9/nowhere", before=5, to=Path(to))


class LargeEvents:
    """A log of events of the largest size that an import allows."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def fetch(self, _statement: str, seen: int, last: int, count: int) -> list[ArchivedRow]:
        self.asked.append(count)
        return [row_of(number, _MIB) for number in range(seen + 1, min(last, seen + count) + 1)]


async def test_large_events_are_fetched_in_small_batches() -> None:
    connection: Any = LargeEvents()
    described = Described(first=1, last=200, events=200, checksum="0")
    numbers = [row.number async for rows in moving._rows(connection, described) for row in rows]
    assert numbers == list(range(1, 201))
    assert max(connection.asked) <= 50
