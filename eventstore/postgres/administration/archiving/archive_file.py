"""Archive files: one range of the log as a file with its manifest, written, and read back before it is relied on."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eventstore.errors import InvalidRequest
from eventstore.postgres.administration.archiving.archived_row import ArchivedRow, RowSum
from eventstore.postgres.administration.archiving.event_table import EventTable, EventTableWriter, sha256_of
from eventstore.postgres.administration.archiving.manifest import Manifest, written_whole

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
        return Manifest.stem(self.described.first, self.described.last)

    def find(self) -> Manifest | None:
        """Return the manifest, if there is one of the same events: the file was written before."""
        path = self.directory / f"{self._stem}.json"
        if not path.exists():
            return None
        manifest = Manifest.read(path)
        is_same = (manifest.events, manifest.checksum) == (self.described.events, self.described.checksum)
        return manifest if is_same else None

    async def write(
        self, rows: AsyncIterator[Sequence[ArchivedRow]], *, written: Callable[[int], None] = lambda _: None
    ) -> Manifest:
        """Write the file, then its manifest. What a process that was killed has left is overwritten.

        Args:
            rows: The range's events, in order.
            written: Is told how many are written.
        """
        partial = self.path.with_suffix(".parquet.part")
        total = RowSum()
        with EventTableWriter(partial) as writer:
            async for some in rows:
                total.add(some)
                writer.add(some)
                written(total.events)
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
        if not self.path.exists():
            raise InvalidRequest(f"{self.path} is missing; nothing was changed in the database")
        if self.path.stat().st_size != manifest.bytes or sha256_of(self.path) != manifest.sha256:
            raise InvalidRequest(f"{self.path} is not as its manifest says; nothing was changed in the database")
        total = RowSum()
        for rows in EventTable(self.path).rows():
            total.add(rows)
        known = self.described
        if (total.events, total.checksum, total.last) != (known.events, known.checksum, known.last):
            raise InvalidRequest(
                f"{self.path} does not hold the events {known.first:,} to {known.last:,} that the database knows; "
                "nothing was changed in the database"
            )
        return total
