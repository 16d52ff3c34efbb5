"""Event files: events as lines of JSON or as CSV, perhaps compressed, read one at a time."""

import csv
import gzip
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, cast

from eventstore.counted import counted
from eventstore.errors import InvalidEvent, InvalidRequest
from eventstore.events import Event
from eventstore.jsontext import decode_object
from eventstore.position import LAST_NUMBER

__all__ = ["NUMBER_FIELD", "EventFile", "FileFormat", "event_of_record"]

NUMBER_FIELD = "original_sequence_number"
"""Where an event's metadata keeps the number that it had where it comes from, unless another field is named."""

# What one record may take of memory. PostgreSQL's jsonb ends far above.
_LONGEST_RECORD = 16 * 1024 * 1024
# To ask a file how far it was read costs about as much as to read a line.
_LINES_A_LOOK = 256
_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Each under the name that `worker events --json` gives it, and under the one that is common for tables.
_NAMES = {
    "type": "type",
    "event_type": "type",
    "payload": "payload",
    "metadata": "metadata",
    "occurred_at": "occurred_at",
    "sequence_number": "sequence_number",
}
_NEEDED = ("type", "payload", "occurred_at")


class FileFormat(StrEnum):
    """How the records of a file are written."""

    NDJSON = "ndjson"
    CSV = "csv"

    @classmethod
    def of(cls, path: Path) -> "FileFormat | None":
        """Tell it by the end of a file's name, with or without ``.gz``; None if that says nothing."""
        name = path.name.lower().removesuffix(".gz")
        if name.endswith((".ndjson", ".jsonl", ".json")):
            return cls.NDJSON
        return cls.CSV if name.endswith(".csv") else None


@dataclass(slots=True, kw_only=True)
class EventFile:
    """A file of events, which can be read more than once.

    A record has the fields ``type`` (or ``event_type``), ``payload``, ``occurred_at``, and perhaps ``metadata`` and
    ``sequence_number``: an object a line, or CSV with these names in its first line and JSON in payload and metadata.
    Empty lines are passed over. It is unpacked if it is gzip.

    Attributes:
        path: Where it is.
        format: How it is written.
        number_field: Where the metadata keeps a record's ``sequence_number``.
        position: How many of its bytes were read, packed as they are.
    """

    path: Path
    format: FileFormat
    number_field: str = NUMBER_FIELD
    position: int = 0

    @property
    def size(self) -> int:
        """How many bytes it has.

        Raises:
            InvalidRequest: There is no such file, or it is none that can be read twice.
        """
        try:
            found = self.path.stat()
        except OSError as error:
            raise InvalidRequest(f"{self.path} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            raise InvalidRequest(f"{self.path} is no file: it is read more than once, so write what it holds to a file")
        return found.st_size

    def events(self) -> Iterator[Event]:
        """Read it from its beginning.

        Raises:
            InvalidEvent: A record is no event; the message says in which line, and why.
            InvalidRequest: The file cannot be read, or is not what it should be.
        """
        _ = self.size
        self.position = 0
        try:
            with self.path.open("rb") as packed:
                lines = self._lines(_unpacked(packed), packed)
                records = _csv_records(lines) if self.format is FileFormat.CSV else _ndjson_records(lines)
                for number, record in records:
                    try:
                        yield event_of_record(record, self.number_field)
                    except (InvalidEvent, ValueError) as error:
                        raise InvalidEvent(f"line {number}: {error}") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InvalidRequest(f"{self.path} cannot be unpacked: {error}") from error
        except OSError as error:
            raise InvalidRequest(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _lines(self, stream: BinaryIO, packed: BinaryIO) -> Iterator[tuple[int, str]]:
        number = 0
        while line := stream.readline(_LONGEST_RECORD + 1):
            number += 1
            if len(line) > _LONGEST_RECORD:
                raise _too_long(number)
            if number % _LINES_A_LOOK == 0:
                self.position = packed.tell()
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            try:
                yield number, line.decode()
            except UnicodeDecodeError as error:
                raise InvalidEvent(f"line {number}: it is not UTF-8 ({error.reason} at byte {error.start})") from None


def event_of_record(record: dict[str, Any], number_field: str) -> Event:
    """Make an event of what a record says.

    Args:
        record: Its fields.
        number_field: Where the metadata keeps its number.

    Raises:
        InvalidEvent: It cannot be recorded.
    """
    missing = [name for name in _NEEDED if record.get(name) is None]
    if missing:
        raise InvalidEvent(f"the event has no {' and no '.join(missing)}")
    metadata = record.get("metadata")
    if metadata is None:
        metadata = {}
    number = record.get("sequence_number")
    if number is not None:
        metadata = _numbered(metadata, number, number_field)
    return Event(
        type=record["type"], payload=record["payload"], metadata=metadata, occurred_at=_moment(record["occurred_at"])
    )


def _numbered(metadata: object, number: object, field: str) -> dict[str, Any]:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= LAST_NUMBER:
        raise InvalidEvent(f"the sequence_number is a whole number, not {number!r}")
    if not isinstance(metadata, dict):
        raise InvalidEvent(f"the metadata must be a JSON object, not {type(metadata).__name__}")
    if field in metadata:
        raise InvalidEvent(
            f"the metadata has a field {field} already, so that the sequence_number needs another: name it with "
            "--number-field"
        )
    return {**metadata, field: number}


def _moment(text: object) -> datetime:
    if not isinstance(text, str):
        raise InvalidEvent(f"occurred_at is a text such as 2026-01-05T10:00:00Z, not {text!r}")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidEvent(f"occurred_at is no time such as 2026-01-05T10:00:00Z: {text!r}") from None


def _unpacked(packed: BinaryIO) -> BinaryIO:
    is_packed = packed.read(len(_GZIP)) == _GZIP
    packed.seek(0)
    return cast("BinaryIO", gzip.open(packed)) if is_packed else packed


def _ndjson_records(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            record = decode_object(line)
        except (ValueError, RecursionError) as error:
            raise InvalidEvent(f"line {number}: it is not JSON: {error}") from None
        if not isinstance(record, dict):
            raise InvalidEvent(f"line {number}: it is no JSON object")
        yield number, _named(record, number)


def _named(record: dict[str, Any], number: int) -> dict[str, Any]:
    named = {_NAMES[name]: value for name, value in record.items() if name in _NAMES}
    if len(named) < len(record):
        unknown = sorted(set(record) - set(_NAMES)) or ["type and event_type"]
        raise InvalidEvent(f"line {number}: an event has no field {', '.join(unknown)}; its fields are {_fields()}")
    return named


def _fields() -> str:
    return ", ".join(name for name in _NAMES if name != "event_type")


def _csv_records(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(_LONGEST_RECORD)
    reader = csv.reader((line for _, line in lines), strict=True)
    header: list[str] | None = None
    end = 0
    try:
        for row in reader:
            start, end = end + 1, reader.line_num
            if not row:
                continue
            if header is None:
                header = _header(row)
            elif len(row) != len(header):
                raise InvalidEvent(
                    f"line {start}: it has {counted(len(row), 'field')}, and the first line {len(header)}"
                )
            else:
                yield start, _csv_record(dict(zip(header, row, strict=True)), start)
    except csv.Error as error:
        raise InvalidEvent(f"line {end + 1}: it is not CSV: {error}") from None


def _header(row: list[str]) -> list[str]:
    names = [name.strip() for name in row]
    named = [_NAMES[name] for name in names if name in _NAMES]
    if len(named) < len(names) or len(set(named)) < len(named) or not set(_NEEDED) <= set(named):
        raise InvalidEvent(f"line 1: it names the columns {', '.join(names)}; those of events are {_fields()}")
    return named


def _csv_record(row: dict[str, str], number: int) -> dict[str, Any]:
    record: dict[str, Any] = {"type": row["type"], "occurred_at": row["occurred_at"]}
    for name in ("payload", "metadata", "sequence_number"):
        # CSV knows no null: a field that is empty has no value.
        if text := row.get(name):
            try:
                record[name] = decode_object(text)
            except (ValueError, RecursionError) as error:
                raise InvalidEvent(f"line {number}: the {name} is not JSON: {error}") from None
    return record


def _too_long(number: int) -> InvalidEvent:
    return InvalidEvent(f"line {number}: it is longer than {_LONGEST_RECORD // 2**20} MiB")
