"""Restoring: puts archived ranges back into the log, the range that was archived last first.

Each range is one transaction: it is restored completely, or stays archived.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eventstore.errors import InvalidRequest
from eventstore.postgres.administration.administrator import transaction
from eventstore.postgres.administration.archiving.archive_file import ArchiveFile, Described
from eventstore.postgres.administration.archiving.archived_row import ArchivedRow
from eventstore.postgres.administration.archiving.event_table import EventTable, parquet
from eventstore.postgres.administration.archiving.manifest import Manifest
from eventstore.postgres.administration.archiving.turn import archiving, with_the_table
from eventstore.postgres.arrays import json_array, name_array
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.postgres.statements import statement
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["RestoreReport", "restore_archive"]

_PURPOSE = "worker db restore-archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What was restored, or would be.

    Attributes:
        ranges: The first and last sequence number of each range, in the order of restoring: the highest range first.
        left: The last sequence number that is still archived, 0 if there is none.
        dry_run: Whether the ranges were only listed.
    """

    ranges: tuple[tuple[int, int], ...]
    left: int
    dry_run: bool = False

    @property
    def events(self) -> int:
        """The number of events in the ranges."""
        return sum(last - first + 1 for first, last in self.ranges)


async def restore_archive(
    admin_url: str,
    directory: Path,
    *,
    schema: str = DEFAULT_SCHEMA,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> RestoreReport:
    """Put the archived ranges of a directory back into the log. The files are kept.

    Args:
        admin_url: The database URL of the primary, with the role that owns the schema.
        directory: The directory that the ranges were archived to.
        schema: The schema of the store.
        dry_run: Only list the ranges, from their manifests; by default False.
        progress: Called with the number of events restored so far, and the total.

    Raises:
        InvalidRequest: There is nothing to restore, a file is damaged or has other events than were archived, or a
            later range, which must come first, is in another directory.
        StoreUnavailable: The server cannot be reached.
        LockNotAcquired: Another process archives or restores.
        StoreMisconfigured: The role may not restore, pyarrow is not installed, or other transactions held the table of
            events all the time.

    After any error, and if the call is cancelled, each range is either restored completely or still archived.
    """
    parquet()
    async with archiving(admin_url, schema=schema, purpose=_PURPOSE) as connection:
        known = await connection.fetch(statement("archives"))
        chosen = _chosen([dict(row) for row in known], directory)
        left = max([row["last_number"] for row in known[len(chosen) :]], default=0)
        ranges = tuple((manifest.first, manifest.last) for manifest in chosen)
        if dry_run:
            return RestoreReport(ranges=ranges, left=left, dry_run=True)
        total = sum(manifest.events for manifest in chosen)
        done = 0
        for manifest in chosen:
            await _restore(connection, manifest, directory, partial(_tell, progress, done, total))
            done += manifest.events
    return RestoreReport(ranges=ranges, left=left)


def _tell(progress: Callable[[int, int], None], done: int, total: int, count: int) -> None:
    progress(done + count, total)


def _chosen(known: Sequence[Mapping[str, Any]], directory: Path) -> list[Manifest]:
    """Return the manifests of the ranges that were archived last and are in the directory, the highest range first."""
    if not known:
        raise InvalidRequest("nothing is archived: the database has the whole log")
    chosen = []
    for row in known:
        first, last = row["first_number"], row["last_number"]
        manifest = Manifest.find(directory, first=first, last=last, checksum=row["checksum"])
        if manifest is None:
            break
        if (manifest.events, manifest.checksum) != (row["events"], row["checksum"]):
            raise InvalidRequest(f"the events {first:,} to {last:,} in {directory} are not those that were archived")
        chosen.append(manifest)
    if not chosen:
        latest = known[0]
        raise InvalidRequest(
            f"the events {latest['first_number']:,} to {latest['last_number']:,} were archived last and come back "
            f"first: they are not in {directory}, but were moved to {latest['place']}"
        )
    return chosen


async def _restore(
    connection: SchemaConnection, manifest: Manifest, directory: Path, restored: Callable[[int], None]
) -> None:
    described = Described(first=manifest.first, last=manifest.last, events=manifest.events, checksum=manifest.checksum)
    file = ArchiveFile(directory=directory, described=described)
    file.verify(manifest)
    async with transaction(connection):
        name = await connection.fetchval(statement("restore_begin"), manifest.first)
        await connection.execute_as_it_is(await connection.fetchval(statement("restore_owner"), name))
        done = 0
        for rows in EventTable(file.path).rows():
            await _put(connection, manifest.first, rows)
            done += len(rows)
            restored(done)
        (found,) = await connection.fetch(statement("archive_sum"), name, manifest.first, manifest.last)
        if (found["events"], found["checksum"]) != (manifest.events, manifest.checksum):
            raise InvalidRequest(
                f"the database does not hold the events {manifest.first:,} to {manifest.last:,} that the file has; "
                "nothing was restored"
            )
        await with_the_table(connection, "restore_finish", manifest.first)


async def _put(connection: SchemaConnection, first: int, rows: Sequence[ArchivedRow]) -> None:
    await connection.execute(
        statement("restore_rows"),
        first,
        [row.number for row in rows],
        [row.token for row in rows],
        name_array([row.event_type for row in rows]),
        [row.occurred for row in rows],
        json_array([row.payload for row in rows]),
        json_array([row.metadata for row in rows]),
    )
