"""Event files: events as NDJSON or CSV, optionally gzip-compressed, read one at a time."""

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
from eventstore.jsontext import NotJson, decode_object
from eventstore.position import LAST_NUMBER

__all__ = ["NUMBER_FIELD", "EventFile", "FileFormat", "event_of_record"]

NUMBER_FIELD = "original_sequence_number"
"""The default metadata field for the sequence number that an event had in its original store."""

# Bytes; bounds the memory that one record takes. PostgreSQL's jsonb allows far more.
_LONGEST_RECORD = 16 * 1024 * 1024
# Lines between two updates of the position: asking a file for its position costs about as much as reading a line.
_LINES_A_LOOK = 256
_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Each field under its name in `worker events --json`, and under the name that is common for tables.
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
    """How the records of a file are encoded."""

    NDJSON = "ndjson"
    CSV = "csv"

    @classmethod
    def of(cls, path: Path) -> "FileFormat | None":
        """Derive the format from a file name's suffix, with or without ``.gz``; None if the suffix is unknown."""
        name = path.name.lower().removesuffix(".gz")
        if name.endswith((".ndjson", ".jsonl", ".json")):
            return cls.NDJSON
        return cls.CSV if name.endswith(".csv") else None


@dataclass(slots=True, kw_only=True)
class EventFile:
    """A file of events, which can be read repeatedly.

    A record has the fields ``type`` (or ``event_type``), ``payload`` and ``occurred_at``, and optionally ``metadata``
    and ``sequence_number``. NDJSON has one object a line. CSV names the fields in its first line and has JSON in
    payload and metadata. Empty lines are skipped. A gzip file is unpacked.

    Attributes:
        path: The file's path.
        format: The encoding of its records.
        number_field: The metadata field that a record's ``sequence_number`` is stored in.
        position: The number of bytes read so far, before decompression.
    """

    path: Path
    format: FileFormat
    number_field: str = NUMBER_FIELD
    position: int = 0

    @property
    def size(self) -> int:
        """The size of the file in bytes, before decompression.

        Raises:
            InvalidRequest: The file does not exist, cannot be read, or is not a regular file, such as a pipe.
        """
        try:
            found = self.path.stat()
        except OSError as error:
            raise InvalidRequest(f"{self.path} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            raise InvalidRequest(
                f"{self.path} is not a regular file: it is read more than once, so save its content as a file first"
            )
        return found.st_size

    def events(self) -> Iterator[Event]:
        """Read the file from its beginning.

        Raises:
            InvalidEvent: A record is no valid event; the message has the line number and the reason.
            InvalidRequest: The file cannot be read or unpacked, or is not a regular file.
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
    """Build an event from the fields of a record.

    Args:
        record: The record's fields by name.
        number_field: The metadata field that the record's ``sequence_number`` is stored in.

    Raises:
        InvalidEvent: A field is missing or its value cannot be recorded.
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
        except NotJson as error:
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
        # CSV has no null: an empty field counts as missing.
        if text := row.get(name):
            try:
                record[name] = decode_object(text)
            except NotJson as error:
                raise InvalidEvent(f"line {number}: the {name} is not JSON: {error}") from None
    return record


def _too_long(number: int) -> InvalidEvent:
    return InvalidEvent(f"line {number}: it is longer than {_LONGEST_RECORD // 2**20} MiB")
