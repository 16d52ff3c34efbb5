"""Untrusted text contains no control characters and no line breaks when printed."""

import json
import logging

import pytest

from worker.cli.terminal import print_json, table, tell
from worker.failures import Mistake, sentence
from worker.printable import printable, printable_json
from worker.telemetry.logs import _JsonLines

HOSTILE = "a\x1b[31m\x9b2J\x07\r\x7f\u2028\u202eb\ud800 %s {0} :warning: [red]c[/red]"
SHOWN = r"a\x1b[31m\x9b2J\x07\x0d\x7f\u2028\u202eb\ud800 %s {0} :warning: [red]c[/red]"


def test_invisible_characters_are_escaped() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("one\ntwo\tthree") == r"one\ntwo\tthree"
    assert printable("one\ntwo\tthree\r", lines=True) == "one\ntwo\tthree\\x0d"
    assert printable("grün, 書, 😀, e\u0301") == "grün, 書, 😀, e\u0301"


def test_json_stays_the_same_value() -> None:
    text = printable_json(json.dumps({HOSTILE: HOSTILE, "grün": "書"}, ensure_ascii=False))
    assert json.loads(text) == {HOSTILE: HOSTILE, "grün": "書"}
    assert text.isprintable()
    assert "書" in text


def test_a_record_is_a_line_that_any_encoding_can_write() -> None:
    error = ValueError(f"{HOSTILE}\nTraceback")
    failed = (ValueError, error, None)
    record = logging.LogRecord("name", logging.ERROR, __file__, 1, "dead letter %s: %s", (HOSTILE, "\n{}"), failed)
    line = _JsonLines().format(record)
    assert line.isprintable()
    line.encode()
    told = json.loads(line)
    assert told["message"] == f"dead letter {HOSTILE}: \n{{}}"
    assert HOSTILE in told["exception"]


def test_text_output_shows_a_messages_content(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    listing = table("reason")
    listing.add_row(HOSTILE)
    tell(HOSTILE + "\nanother line")
    tell(listing)
    first, heading, row = capsys.readouterr().out.splitlines()
    assert first.rstrip() == SHOWN + r"\nanother line"
    assert "reason" in heading
    assert row.rstrip() == SHOWN


def test_json_output_has_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"reason": HOSTILE.replace("\ud800", ""), "number": 1}
    print_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert printed.replace("\n", "").isprintable()


def test_a_sentence_is_one_line() -> None:
    assert sentence(Mistake(f"{HOSTILE}.")) == f"{SHOWN}."
