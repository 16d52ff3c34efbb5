"""Event tables: archived events as Parquet files, by pyarrow, which is an optional dependency."""

import hashlib
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eventstore.errors import InvalidRequest, StoreMisconfigured
from eventstore.postgres.administration.archiving.archived_row import ArchivedRow
from eventstore.postgres.administration.archiving.manifest import told_of_files

__all__ = ["EventTable", "EventTableWriter", "parquet", "sha256_of"]

# A reader holds one row group in memory.
_MOST_ROWS = 50_000
_MOST_BYTES = 32 * 1024**2
_ROWS_AT_ONCE = 5_000
_READ_BYTES = 1024**2


def parquet() -> tuple[Any, Any]:
    """Return the pyarrow module and its Parquet module.

    Raises:
        StoreMisconfigured: pyarrow is not installed.
    """
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise StoreMisconfigured(
            f"archives are written and read by pyarrow, which is not installed ({error}): "
            "pip install 'dynamic-streams-worker[archive]'"
        ) from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


class EventTableWriter:
    """Writes a file, one row group after another. A ``with`` block closes it.

    Args:
        path: The path of the file. An existing file is overwritten.

    Raises:
        InvalidRequest: The file cannot be written. Each method raises it, too.
    """

    def __init__(self, path: Path) -> None:
        self._arrow, module = parquet()
        arrow = self._arrow
        self._schema = _schema(arrow)
        self._path = path
        with told_of_files(path, "written"):
            self._writer = module.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[ArchivedRow] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            with told_of_files(self._path, "written"):
                self._writer.close()

    def add(self, rows: Sequence[ArchivedRow]) -> None:
        """Append rows to the file."""
        for row in rows:
            self._rows.append(row)
            self._bytes += len(row.payload) + len(row.metadata)
            if len(self._rows) >= _MOST_ROWS or self._bytes >= _MOST_BYTES:
                self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        arrow = self._arrow
        columns = [
            arrow.array(column, type=_plain(field, arrow))
            for column, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        columns[3] = columns[3].cast(self._schema.field("occurred_at").type)
        with told_of_files(self._path, "written"):
            self._writer.write_table(arrow.Table.from_arrays(columns, schema=self._schema))
        self._rows, self._bytes = [], 0


def _schema(arrow: Any) -> Any:
    """Return the columns of a file."""
    return arrow.schema(
        [
            arrow.field("sequence_number", arrow.int64(), nullable=False),
            arrow.field("token", arrow.int64(), nullable=False),
            arrow.field("event_type", arrow.string(), nullable=False),
            arrow.field("occurred_at", arrow.timestamp("us", tz="UTC"), nullable=False),
            arrow.field("payload", arrow.string(), nullable=False),
            arrow.field("metadata", arrow.string(), nullable=False),
        ]
    )


def _plain(field: Any, arrow: Any) -> Any:
    """Return the type of a column's values in Python: times are integers, and cast when they are written or read."""
    return arrow.int64() if field.name == "occurred_at" else field.type


def _check(columns: Sequence[Any], arrow: Any) -> None:
    if [column.type for column in columns] != [_plain(field, arrow) for field in _schema(arrow)]:
        raise TypeError("it has columns of other types")
    if any(column.null_count for column in columns):
        raise TypeError("it lacks a value")


class EventTable:
    """Reads a file of archived events.

    Args:
        path: The path of the file.

    Raises:
        StoreMisconfigured: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrow, self._module = parquet()

    def rows(self) -> Iterator[Sequence[ArchivedRow]]:
        """Iterate over the rows from the beginning.

        Yields:
            Batches of rows, in order.

        Raises:
            InvalidRequest: The file cannot be read, has another format, or is damaged.
        """
        arrow = self._arrow
        try:
            with self._module.ParquetFile(self._path) as file:
                # By row group: its size is limited in bytes, unlike that of a number of rows.
                for group in range(file.num_row_groups):
                    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, row_groups=[group]):
                        columns = [batch.column(name) for name in batch.schema.names]
                        columns[3] = columns[3].cast(arrow.int64())
                        _check(columns, arrow)
                        values = zip(*(column.to_pylist() for column in columns), strict=True)
                        yield [ArchivedRow(*row) for row in values]
        except (OSError, IndexError, TypeError, arrow.ArrowException) as error:
            raise InvalidRequest(f"{self._path} cannot be read as archived events: {error}") from error
