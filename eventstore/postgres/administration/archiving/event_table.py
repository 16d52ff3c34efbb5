"""Event tables: archived events as Parquet files, by pyarrow, which is an extra."""

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

# A row group is what a reader holds at once.
_MOST_ROWS = 50_000
_MOST_BYTES = 32 * 1024**2
_ROWS_AT_ONCE = 5_000
_READ_BYTES = 1024**2


def parquet() -> tuple[Any, Any]:
    """Return pyarrow and its module for Parquet.

    Raises:
        StoreMisconfigured: It is not installed.
    """
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise StoreMisconfigured(
            f"archives are written and read by pyarrow, which is not installed ({error}): "
            "pip install 'dynamic-streams-worker[archive]'"
        ) from error


def sha256_of(path: Path) -> str:
    """Return the digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


class EventTableWriter:
    """Writes a file, row group by row group. A ``with`` ends it.

    Args:
        path: The file. What is there already is overwritten.

    Raises:
        InvalidRequest: It cannot be written. Each of its methods says so, too.
    """

    def __init__(self, path: Path) -> None:
        self._arrow, module = parquet()
        arrow = self._arrow
        self._schema = arrow.schema(
            [
                arrow.field("sequence_number", arrow.int64(), nullable=False),
                arrow.field("token", arrow.int64(), nullable=False),
                arrow.field("event_type", arrow.string(), nullable=False),
                arrow.field("occurred_at", arrow.timestamp("us", tz="UTC"), nullable=False),
                arrow.field("payload", arrow.string(), nullable=False),
                arrow.field("metadata", arrow.string(), nullable=False),
            ]
        )
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
        """Write rows behind those before."""
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


def _plain(field: Any, arrow: Any) -> Any:
    """Times are written as the whole numbers that they are."""
    return arrow.int64() if field.name == "occurred_at" else field.type


class EventTable:
    """Reads a file.

    Args:
        path: The file.

    Raises:
        StoreMisconfigured: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrow, self._module = parquet()

    def rows(self) -> Iterator[Sequence[ArchivedRow]]:
        """Read it from its beginning.

        Yields:
            Some rows at a time, in order.

        Raises:
            InvalidRequest: It is no such file, or it is damaged.
        """
        arrow = self._arrow
        try:
            with self._module.ParquetFile(self._path) as file:
                # Group by group: a group is bounded in bytes, and a number of rows is not.
                for group in range(file.num_row_groups):
                    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, row_groups=[group]):
                        columns = [batch.column(name) for name in batch.schema.names]
                        columns[3] = columns[3].cast(arrow.int64())
                        values = zip(*(column.to_pylist() for column in columns), strict=True)
                        yield [ArchivedRow(*row) for row in values]
        except (OSError, IndexError, TypeError, arrow.ArrowException) as error:
            raise InvalidRequest(f"{self._path} cannot be read as archived events: {error}") from error
