"""Tables: numbers are aligned, no column is empty, and no line ends in spaces."""

import pytest

from worker.cli.terminal import table, tell


def drawn(capsys: pytest.CaptureFixture[str], headings: tuple[str, ...], *rows: tuple[str, ...]) -> list[str]:
    listing = table(*headings)
    for row in rows:
        listing.add_row(*row)
    tell(listing)
    return capsys.readouterr().out.splitlines()


def test_numbers_are_right_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    lines = drawn(capsys, ("view", "states", "size"), ("shelf", "2", "8.2 kB"), ("placed", "1,250", "-"))
    assert lines == ["view    states    size", "shelf        2  8.2 kB", "placed   1,250       -"]


def test_texts_are_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    lines = drawn(capsys, ("view", "vacuumed"), ("shelf", "7"), ("placed", "never"))
    assert lines == ["view    vacuumed", "shelf   7", "placed  never"]


def test_an_empty_column_is_omitted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = drawn(capsys, ("outcome", "reason", "commands"), ("accepted", "", "2"), ("unchanged", "", "10"))
    assert lines == ["outcome    commands", "accepted          2", "unchanged        10"]


def test_a_table_without_rows_keeps_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(capsys, ("view", "states")) == ["view  states"]


LETTERS = ("id", "command", "age", "error")
LETTER = (
    "5c4b0d90-d75f-49a9-a21e-718f117d2800",
    "BookRoom",
    "2s",
    "KeyError in decide (/srv/rooms/rooms.py:108): 'red'",
)


def test_the_widest_columns_wrap_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert drawn(capsys, LETTERS, LETTER) == [
        "id                                    command   age  error",
        "5c4b0d90-d75f-49a9-a21e-718f117d2800  BookRoom   2s  KeyError in decide",
        "                                                     (/srv/rooms/rooms.py:108):",
        "                                                     'red'",
    ]


def test_a_table_that_does_not_fit_is_printed_as_records(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An identifier that is wrapped cannot be copied."""
    monkeypatch.setenv("COLUMNS", "60")
    other = ("60e0c7f6-9ad2-45a4-9cf1-b6c90d7c4e6f", "", "1m", "-")
    assert drawn(capsys, LETTERS, LETTER, other) == [
        "id       5c4b0d90-d75f-49a9-a21e-718f117d2800",
        "command  BookRoom",
        "age      2s",
        "error    KeyError in decide (/srv/rooms/rooms.py:108): 'red'",
        "",
        "id       60e0c7f6-9ad2-45a4-9cf1-b6c90d7c4e6f",
        "age      1m",
    ]


def test_facts_keep_their_form(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    facts = table("", "")
    facts.show_header = False
    facts.add_row("error", "KeyError in /srv/rooms/rooms.py:108")
    tell(facts)
    assert capsys.readouterr().out.splitlines() == ["error  KeyError in", "       /srv/rooms/rooms.py:108"]
