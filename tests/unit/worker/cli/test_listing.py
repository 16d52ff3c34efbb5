"""Tables: numbers below each other, no column without anything in it, no line that ends in blanks."""

import pytest

from worker.cli.terminal import table, tell


def drawn(capsys: pytest.CaptureFixture[str], headings: tuple[str, ...], *rows: tuple[str, ...]) -> list[str]:
    listing = table(*headings)
    for row in rows:
        listing.add_row(*row)
    tell(listing)
    return capsys.readouterr().out.splitlines()


def test_numbers_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    lines = drawn(capsys, ("view", "states", "size"), ("shelf", "2", "8.2 kB"), ("placed", "1,250", "-"))
    assert lines == ["view    states    size", "shelf        2  8.2 kB", "placed   1,250       -"]


def test_texts_stand_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    lines = drawn(capsys, ("view", "vacuumed"), ("shelf", "7"), ("placed", "never"))
    assert lines == ["view    vacuumed", "shelf   7", "placed  never"]


def test_a_column_that_holds_nothing_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    lines = drawn(capsys, ("outcome", "reason", "commands"), ("accepted", "", "2"), ("unchanged", "", "10"))
    assert lines == ["outcome    commands", "accepted          2", "unchanged        10"]


def test_a_table_without_rows_keeps_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(capsys, ("view", "states")) == ["view  states"]
