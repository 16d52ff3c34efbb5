"""Archive files: one range of the log with its manifest, read back before the range is dropped."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eventstore.errors import InvalidRequest
from eventstore.postgres.administration.archiving.archived_row import ArchivedRow, RowSum
from eventstore.postgres.administration.archiving.event_table import EventTable, EventTableWriter, sha256_of
from eventstore.postgres.administration.archiving.manifest import UNCHANGED, Manifest, told_of_files, written_whole

__all__ = ["ArchiveFile", "Described"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A range of the log, as the database knows it.

    Attributes:
        first: The range's first sequence number.
        last: The range's last sequence number.
        events: The number of events.
        checksum: The checksum of the events, as ``RowSum`` computes it.
        event_types: The types of the events; by default empty.
    """

    first: int
    last: int
    events: int
    checksum: str
    event_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """The file of one range.

    Attributes:
        directory: The directory of the file and its manifest.
        described: The range in the file.
    """

    directory: Path
    described: Described

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self.directory / f"{self._stem}.parquet"

    @property
    def _stem(self) -> str:
        return Manifest.stem(self.described.first, self.described.last, self.described.checksum)

    def find(self) -> Manifest | None:
        """Return the manifest, if one of the same events exists because the file was written before; otherwise None.

        Raises:
            InvalidRequest: The manifest cannot be read.
        """
        known = self.described
        manifest = Manifest.find(self.directory, first=known.first, last=known.last, checksum=known.checksum)
        if manifest is None or (manifest.events, manifest.checksum) != (known.events, known.checksum):
            return None
        return manifest

    async def write(
        self, rows: AsyncIterator[Sequence[ArchivedRow]], *, written: Callable[[int], None] = lambda _: None
    ) -> Manifest:
        """Write the file, then its manifest. Files that an interrupted call left are overwritten.

        Args:
            rows: The range's events, in order, in batches.
            written: Called with the number of events written so far.

        Raises:
            InvalidRequest: The directory cannot be written to.
        """
        partial = self.path.with_suffix(".parquet.part")
        total = RowSum()
        with EventTableWriter(partial) as writer:
            async for some in rows:
                total.add(some)
                writer.add(some)
                written(total.events)
        with told_of_files(self.path, "written"):
            sha256, size = sha256_of(partial), partial.stat().st_size
            written_whole(partial, self.path)
        manifest = Manifest.of(
            first=self.described.first,
            last=self.described.last,
            events=total.events,
            checksum=total.checksum,
            event_types=self.described.event_types,
            size=size,
            sha256=sha256,
        )
        manifest.write(self.directory)
        return manifest

    def verify(self, manifest: Manifest) -> RowSum:
        """Read the whole file back, and compare it with its manifest and the range.

        Returns:
            The sum of the file's events, which equals that of the range in the database.

        Raises:
            InvalidRequest: The file is missing, or differs from its manifest or from the range in the database.
        """
        with told_of_files(self.path, "read"):
            if not self.path.exists():
                raise InvalidRequest(f"{self.path} is missing; {UNCHANGED}")
            if self.path.stat().st_size != manifest.bytes or sha256_of(self.path) != manifest.sha256:
                raise InvalidRequest(f"{self.path} is not as its manifest says; {UNCHANGED}")
        total = RowSum()
        for rows in EventTable(self.path).rows():
            total.add(rows)
        known = self.described
        if (total.events, total.checksum, total.last) != (known.events, known.checksum, known.last):
            raise InvalidRequest(
                f"{self.path} does not hold the events {known.first:,} to {known.last:,} that the database knows; "
                f"{UNCHANGED}"
            )
        return total
