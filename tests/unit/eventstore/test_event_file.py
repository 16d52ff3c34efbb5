"""Files of events: accepted forms, and the errors for invalid lines."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eventstore import InvalidEvent, InvalidRequest
from eventstore.event_file import EventFile, FileFormat

_MOMENT = datetime(2026, 1, 5, 10, 0, 0, 123000, tzinfo=UTC)
_GOOD: dict[str, Any] = {"type": "Counted", "occurred_at": "2026-01-05T10:00:00.123Z", "payload": {"Key": "a"}}
_HEADER = b"sequence_number,occurred_at,event_type,payload,metadata\n"


def ndjson(path: Path, *records: Any) -> EventFile:
    path = path / "events.ndjson"
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in records]
    path.write_bytes(b"\n".join(lines))
    return EventFile(path=path, format=FileFormat.NDJSON)


def csv(path: Path, content: bytes) -> EventFile:
    path = path / "events.csv"
    path.write_bytes(content)
    return EventFile(path=path, format=FileFormat.CSV)


def refusal(file: EventFile) -> str:
    with pytest.raises(InvalidRequest) as raised:
        list(file.events())
    return str(raised.value)


def test_lines_of_json_are_events(tmp_path: Path) -> None:
    by = {"By": "me"}
    file = ndjson(tmp_path, _GOOD, b"", {**_GOOD, "payload": {"Price": 1.10}, "metadata": by, "sequence_number": 7})
    first, second = file.events()
    assert (first.type, first.occurred_at, first.payload, first.metadata) == ("Counted", _MOMENT, {"Key": "a"}, {})
    assert second.payload == {"Price": Decimal("1.1")}
    assert second.metadata == by | {"original_sequence_number": 7}
    assert len(list(file.events())) == 2, "a file is read twice"


def test_json_exports_are_read(tmp_path: Path) -> None:
    line = b'{"sequence_number":1,"type":"A","occurred_at":"2026-01-05T10:00:00Z","payload":{},"metadata":{}}'
    (event,) = ndjson(tmp_path, line).events()
    assert (event.type, event.metadata) == ("A", {"original_sequence_number": 1})


def test_csv_is_read_with_quotes_and_newlines(tmp_path: Path) -> None:
    rows = (
        b'4,2026-01-05 10:00:00.123+00,Counted,"{""Key"": ""a,b\\n""}",\r\n'
        b'\n9,2026-01-05 12:00:00.123+02,"Coun\nted","{""Key"":\n 1.50}","{""By"": null}"\n'
    )
    first, second = csv(tmp_path, b"\xef\xbb\xbf" + _HEADER + rows).events()
    assert (first.occurred_at, first.payload) == (_MOMENT, {"Key": "a,b\n"})
    assert first.metadata == {"original_sequence_number": 4}
    assert (second.type, second.occurred_at) == ("Coun\nted", _MOMENT)
    assert second.payload_text == '{"Key":1.50}'
    assert second.metadata == {"By": None, "original_sequence_number": 9}


@pytest.mark.parametrize("kind", ["events.ndjson.gz", "events.data"])
def test_compressed_files_are_recognized_by_content(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    path.write_bytes(gzip.compress(json.dumps(_GOOD).encode()))
    (event,) = EventFile(path=path, format=FileFormat.NDJSON).events()
    assert event.type == "Counted"


def test_the_extension_chooses_the_format() -> None:
    names = {"a.ndjson": "ndjson", "a.JSONL.gz": "ndjson", "a.json": "ndjson", "b.csv": "csv", "b.csv.gz": "csv"}
    assert {name: FileFormat.of(Path(name)) for name in names} == names
    assert FileFormat.of(Path("dump.gz")) is None


_WITHOUT = [{name: value for name, value in _GOOD.items() if name != left} for left in _GOOD]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "line 2: it is not JSON: "),
        (b"[1]", "line 2: it is no JSON object"),
        (b"\xff", "line 2: it is not UTF-8"),
        (b"[" * 100_000, "line 2: it is not JSON: "),
        (b'{"type": 1e9999999999999999999}', "line 2: it is not JSON: a number has more than 1,000 digits"),
        (_WITHOUT[0], "line 2: the event has no type"),
        (_WITHOUT[1], "line 2: the event has no occurred_at"),
        (_WITHOUT[2], "line 2: the event has no payload"),
        ({}, "line 2: the event has no type and no payload and no occurred_at"),
        ({**_GOOD, "id": 1}, "line 2: an event has no field id; its fields are type, payload, metadata, "),
        ({**_GOOD, "event_type": "B"}, "line 2: an event has no field type and event_type; "),
        ({**_GOOD, "type": 3}, "line 2: an event type has 1 to 200 characters, not 3"),
        ({**_GOOD, "type": "a" * 201}, "line 2: an event type has 1 to 200 characters"),
        ({**_GOOD, "type": "a\0"}, "line 2: the event type 'a\\x00' contains a NUL character"),
        ({**_GOOD, "payload": [1]}, "line 2: the payload of Counted must be a JSON object, not list"),
        ({**_GOOD, "payload": {"a": "\0"}}, "line 2: the payload of Counted contains a NUL character"),
        ({**_GOOD, "payload": {"a": 10**1000}}, "line 2: the payload of Counted contains a number beyond 1,000"),
        ({**_GOOD, "metadata": 3}, "line 2: the metadata of Counted must be a JSON object, not int"),
        ({**_GOOD, "metadata": 3, "sequence_number": 1}, "line 2: the metadata must be a JSON object, not int"),
        ({**_GOOD, "sequence_number": "7"}, "line 2: the sequence_number is a whole number, not '7'"),
        ({**_GOOD, "sequence_number": True}, "line 2: the sequence_number is a whole number, not True"),
        ({**_GOOD, "sequence_number": -1}, "line 2: the sequence_number is a whole number, not -1"),
        ({**_GOOD, "occurred_at": 5}, "line 2: occurred_at is a text such as 2026-01-05T10:00:00Z, not 5"),
        ({**_GOOD, "occurred_at": "soon"}, "line 2: occurred_at is no time such as 2026-01-05T10:00:00Z: 'soon'"),
        ({**_GOOD, "occurred_at": "2026-01-05T10:00:00"}, "line 2: occurred_at of Counted needs a time zone"),
        (
            {**_GOOD, "metadata": {"original_sequence_number": 1}, "sequence_number": 7},
            "line 2: the metadata has a field original_sequence_number already, so that ",
        ),
    ],
)
def test_a_bad_line_is_named_with_its_cause(tmp_path: Path, line: Any, told: str) -> None:
    assert refusal(ndjson(tmp_path, _GOOD, line, _GOOD)).startswith(told)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (b"4,2026-01-05 10:00:00+00,A,{},{},{}\n", "line 2: it has 6 fields, and the first line 5"),
        (b"4,2026-01-05 10:00:00+00,A,,{}\n", "line 2: the event has no payload"),
        (b'4,2026-01-05 10:00:00+00,"A\nB",{},{}\n4,soon,A,{},{}\n', "line 4: occurred_at is no time"),
        (b"4,2026-01-05 10:00:00+00,A,{,{}\n", "line 2: the payload is not JSON: "),
        (b"four,2026-01-05 10:00:00+00,A,{},{}\n", "line 2: the sequence_number is not JSON: "),
        (b'4,2026-01-05 10:00:00+00,"A"B,{},{}\n', "line 2: it is not CSV: "),
        (b'\n4,2026-01-05 10:00:00+00,"A,{},{}\n\n', "line 3: it is not CSV: "),
    ],
)
def test_a_bad_row_is_named_with_its_cause(tmp_path: Path, rows: bytes, told: str) -> None:
    assert refusal(csv(tmp_path, _HEADER + rows)).startswith(told)


@pytest.mark.parametrize("header", [b"type,payload", b"type,event_type,payload,occurred_at", b"1,2,A,{},{}", b"\xff"])
def test_a_csv_file_without_a_header_is_refused(tmp_path: Path, header: bytes) -> None:
    assert refusal(csv(tmp_path, header + b"\n1,2\n")).startswith("line 1: it ")


def test_an_overlong_record_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.event_file._LONGEST_RECORD", 1000)
    assert refusal(ndjson(tmp_path, {**_GOOD, "payload": {"a": "b" * 1000}})) == "line 1: it is longer than 0 MiB"
    rows = b'4,2026-01-05 10:00:00+00,"' + b"a" * 900 + b"\n" + b"b" * 900 + b'",{},{}\n'
    assert refusal(csv(tmp_path, _HEADER + rows)).startswith("line 2: it is not CSV: field larger than field limit")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(_GOOD).encode())
    for content in (packed[:-4], packed[:-8] + b"12345678", packed[:12] + b"\xff" * 20):
        path = tmp_path / "cut.ndjson.gz"
        path.write_bytes(content)
        assert "cut.ndjson.gz cannot be unpacked: " in refusal(EventFile(path=path, format=FileFormat.NDJSON))
    gone = EventFile(path=tmp_path / "gone.csv", format=FileFormat.CSV)
    assert refusal(gone) == f"{tmp_path / 'gone.csv'} cannot be read: No such file or directory"
    folder = EventFile(path=tmp_path, format=FileFormat.CSV)
    assert refusal(folder).startswith(f"{tmp_path} is not a regular file: it is read more than once")


def test_a_bad_line_is_an_invalid_event(tmp_path: Path) -> None:
    with pytest.raises(InvalidEvent):
        list(ndjson(tmp_path, b"{").events())
