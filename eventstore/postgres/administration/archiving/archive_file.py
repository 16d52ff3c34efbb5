"""Archive files: one range of the log as a file with its manifest, written, and read back before it is relied on."""

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
    """A range, as the database knows it.

    Attributes:
        first: Its first number.
        last: Its last number.
        events: How many events it has.
        checksum: What they add up to.
        event_types: Which types they have.
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
        directory: Where it lies, with its manifest.
        described: The range.
    """

    directory: Path
    described: Described

    @property
    def path(self) -> Path:
        """The file."""
        return self.directory / f"{self._stem}.parquet"

    @property
    def _stem(self) -> str:
        return Manifest.stem(self.described.first, self.described.last, self.described.checksum)

    def find(self) -> Manifest | None:
        """Return the manifest, if there is one of the same events: the file was written before.

        Raises:
            InvalidRequest: It cannot be read.
        """
        known = self.described
        manifest = Manifest.find(self.directory, first=known.first, last=known.last, checksum=known.checksum)
        if manifest is None or (manifest.events, manifest.checksum) != (known.events, known.checksum):
            return None
        return manifest

    async def write(
        self, rows: AsyncIterator[Sequence[ArchivedRow]], *, written: Callable[[int], None] = lambda _: None
    ) -> Manifest:
        """Write the file, then its manifest. What a process that was killed has left is overwritten.

        Args:
            rows: The range's events, in order.
            written: Is told how many are written.

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
        """Read the file back, all of it.

        Returns:
            What its events add up to, which is what the database says of the range.

        Raises:
            InvalidRequest: It is not what the manifest or the database says.
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
