"""Moving out: the oldest partitions, one by one; each is written, read back and compared before it is dropped.

If the process ends early, the next call continues: a partition stays in the log until its last step, one transaction.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from eventstore.errors import InvalidRequest
from eventstore.postgres.administration.archiving.archive_file import ArchiveFile, Described
from eventstore.postgres.administration.archiving.archived_row import ArchivedRow, RowSum
from eventstore.postgres.administration.archiving.event_table import parquet
from eventstore.postgres.administration.archiving.manifest import check_directory, make_directory
from eventstore.postgres.administration.archiving.turn import archiving, with_the_table
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.postgres.statements import statement
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["ArchiveReport", "archive"]

_PURPOSE = "worker db archive"
# The approximate size of a fetch in bytes, estimated from the events before it.
_BYTES_AT_ONCE = 8 * 1024**2
_FEWEST_ROWS, _MOST_ROWS = 50, 5_000
# Twice the distance at which a position is still checked under the lock; the database refuses less.
_LEAST_LEFT = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReport:
    """What was moved out, or would be.

    Attributes:
        ranges: The first and last sequence number of each partition, oldest first.
        kept: Why the next partition stays; None if there is none.
        files: The files that were written or found, one for each range.
        dry_run: Whether the ranges were only listed.
    """

    ranges: tuple[tuple[int, int], ...]
    kept: str | None
    files: tuple[Path, ...] = ()
    dry_run: bool = False

    @property
    def events(self) -> int:
        """The number of events in the ranges."""
        return sum(last - first + 1 for first, last in self.ranges)


async def archive(
    admin_url: str,
    *,
    before: int | datetime,
    to: Path,
    schema: str = DEFAULT_SCHEMA,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ArchiveReport:
    """Move whole old partitions into a directory, as Parquet files with manifests, and drop them.

    If it was interrupted, repeat the call with the same directory.

    Args:
        admin_url: The database URL of the primary, with the role that owns the schema.
        before: A sequence number: only partitions that end below it are moved; or a time: only partitions whose events
            all occurred earlier.
        to: The directory; it is created if it is missing.
        schema: The schema of the store.
        dry_run: Only list the ranges; by default False.
        progress: Called with the number of events written so far, and the total.

    Raises:
        InvalidRequest: The log is one table, the directory is not local or cannot be written to, or a file differs from
            what was written. The partition concerned is not dropped.
        StoreUnavailable: The server cannot be reached.
        LockNotAcquired: Another process archives or restores.
        StoreMisconfigured: The role may not archive, pyarrow is not installed, or other transactions held the table of
            events all the time.
    """
    check_directory(to)
    parquet()
    async with archiving(admin_url, schema=schema, purpose=_PURPOSE) as connection:
        ranges, kept = await _chosen(connection, before)
        if dry_run:
            return ArchiveReport(ranges=tuple(ranges), kept=kept, dry_run=True)
        make_directory(to)
        total = sum(last - first + 1 for first, last in ranges)
        done = 0
        files = []
        for first, last in ranges:
            files.append(await _move(connection, first, to, partial(_tell, progress, done, total)))
            done += last - first + 1
    return ArchiveReport(ranges=tuple(ranges), kept=kept, files=tuple(files))


def _tell(progress: Callable[[int, int], None], done: int, total: int, count: int) -> None:
    progress(done + count, total)


async def _move(connection: SchemaConnection, first: int, to: Path, written: Callable[[int], None]) -> Path:
    """Move one partition out."""
    described = await _described(connection, first)
    file = ArchiveFile(directory=to, described=described)
    found = _found(file)
    if found is None:
        found = file.verify(await file.write(_rows(connection, described), written=written))
    await with_the_table(connection, "archive_move_out", first, found.events, found.checksum, str(to.resolve()))  # noqa: ASYNC240  it is one quick call
    return file.path


def _found(file: ArchiveFile) -> RowSum | None:
    """Return the sum of the file that an interrupted call left, if it is complete; otherwise None."""
    try:
        manifest = file.find()
        return None if manifest is None else file.verify(manifest)
    except InvalidRequest:
        return None  # the events are still in the log: the file is written again


async def _chosen(connection: SchemaConnection, before: int | datetime) -> tuple[list[tuple[int, int]], str | None]:
    """Return the partitions that are old enough, oldest first, and why the next one is not."""
    (found,) = await connection.fetch(statement("archivable"))
    if not found["firsts"]:
        raise InvalidRequest(
            "the log is one table, and only partitions can be archived: run `worker db migrate --partition-size`; "
            "its events can be archived when as many have come after them"
        )
    chosen: list[tuple[int, int]] = []
    for first, last in zip(found["firsts"], found["lasts"], strict=True):
        named = f"the partition {first:,} to {last:,}"
        if found["head"] - last < _LEAST_LEFT:
            return chosen, f"{named} is too near to the end of the log, {found['head']:,}"
        if isinstance(before, int):
            if last >= before:
                return chosen, f"{named} does not end before {before:,}"
            chosen.append((first, last))
            continue
        until: datetime = await connection.fetchval(statement("archive_until"), first, last)
        if until >= before:
            return chosen, f"{named} has an event of {until:%Y-%m-%d %H:%M} UTC"
        chosen.append((first, last))
    return chosen, None


async def _described(connection: SchemaConnection, first: int) -> Described:
    (row,) = await connection.fetch(statement("archive_describe"), first)
    return Described(
        first=row["first_number"],
        last=row["last_number"],
        events=row["events"],
        checksum=row["checksum"],
        event_types=tuple(row["event_types"]),
    )


async def _rows(connection: SchemaConnection, described: Described) -> AsyncIterator[Sequence[ArchivedRow]]:
    seen, count = described.first - 1, _FEWEST_ROWS
    while seen < described.last:
        found = await connection.fetch(statement("archive_rows"), seen, described.last, count)
        if not found:
            return  # the sum will show it
        rows = [ArchivedRow(*row) for row in found]
        yield rows
        seen = rows[-1].number
        each = sum([len(row.payload) + len(row.metadata) for row in rows]) / len(rows)
        count = max(_FEWEST_ROWS, min(_MOST_ROWS, int(_BYTES_AT_ONCE / max(each, 1))))
