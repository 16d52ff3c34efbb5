"""Manifests: describe the content of archive files, so that a wrong or damaged file is detected."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256 as digest_of
from pathlib import Path
from typing import Self

import msgspec

from eventstore.errors import InvalidRequest

__all__ = ["UNCHANGED", "Manifest", "check_directory", "make_directory", "told_of_files", "written_whole"]

UNCHANGED = "nothing of these events was changed in the database"
"""Added to messages about a range whose files are wrong. Other ranges may have been moved before."""

_FORMAT = 1
# More than one letter, which would be a Windows drive. In a path, one slash of ``s3://`` is left.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_MARK_DIGITS = 16


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The description of one archive file.

    Attributes:
        format: The version of the manifest's format; 1.
        first: The sequence number of the file's first event.
        last: The sequence number of the file's last event.
        events: The number of events.
        checksum: The checksum of the events, as ``RowSum`` computes it.
        event_types: The types of the events.
        file: The name of the file, in the directory of the manifest.
        bytes: The size of the file in bytes.
        sha256: The SHA-256 digest of the file, in hexadecimal digits.
    """

    format: int
    first: int
    last: int
    events: int
    checksum: str
    event_types: tuple[str, ...]
    file: str
    bytes: int
    sha256: str

    @staticmethod
    def stem(first: int, last: int, checksum: str) -> str:
        """Return the name of a range's files without their suffix; names sort like sequence numbers.

        It includes a digest of the checksum: ranges of different logs have different names, so a file is never
        overwritten by one with other events.
        """
        return f"events-{first:019}-{last:019}-{digest_of(checksum.encode()).hexdigest()[:_MARK_DIGITS]}"

    @classmethod
    def find(cls, directory: Path, *, first: int, last: int, checksum: str) -> Self | None:
        """Read the manifest of a range; None if the directory has none.

        Raises:
            InvalidRequest: The manifest cannot be read.
        """
        path = directory / f"{cls.stem(first, last, checksum)}.json"
        with told_of_files(path, "read"):
            return cls.read(path) if path.exists() else None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest file.

        Raises:
            InvalidRequest: The file is no manifest, or was written by a later release.
        """
        try:
            found = msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise InvalidRequest(f"{path} cannot be read as the manifest of archived events: {error}") from error
        if found.format != _FORMAT or Path(found.file).name != found.file:
            raise InvalidRequest(f"{path} is not a manifest that this release knows: use the release that wrote it")
        return found

    @classmethod
    def of(
        cls, *, first: int, last: int, events: int, checksum: str, event_types: tuple[str, ...], size: int, sha256: str
    ) -> Self:
        """Build the manifest of a range's file."""
        return cls(
            format=_FORMAT,
            first=first,
            last=last,
            events=events,
            checksum=checksum,
            event_types=event_types,
            file=f"{cls.stem(first, last, checksum)}.parquet",
            bytes=size,
            sha256=sha256,
        )

    def write(self, directory: Path) -> None:
        """Write the manifest into a directory, atomically also if the machine crashes."""
        path = directory / f"{self.stem(self.first, self.last, self.checksum)}.json"
        partial = path.with_suffix(".json.part")
        with told_of_files(path, "written"):
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
            written_whole(partial, path)


@contextmanager
def told_of_files(path: Path, done: str) -> Iterator[None]:
    """Raise file system errors as ``InvalidRequest``: beside a connection they would be taken for a lost connection.

    Args:
        path: The path of the file or directory.
        done: What failed, for the message: ``read`` or ``written``.

    Raises:
        InvalidRequest: An ``OSError`` was raised inside the context.
    """
    try:
        yield
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be {done} ({error.strerror or error}); {UNCHANGED}") from error


def check_directory(directory: Path) -> None:
    """Check that a path can be a local directory and can be stored in the database.

    Raises:
        InvalidRequest: The path looks like a URL, or is not valid UTF-8.
    """
    if _ADDRESS.match(str(directory)):
        raise InvalidRequest(
            f"{directory} looks like an address, and would be a directory of this machine: archive to a directory "
            "with another name, and copy its files from there"
        )
    try:
        str(directory.resolve()).encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{str(directory)!r} is no text in UTF-8: archive to another directory") from None


def make_directory(directory: Path) -> None:
    """Create a directory if it is missing, and flush it and its new parents to disk, since its files depend on them.

    Raises:
        InvalidRequest: The directory cannot be created.
    """
    with told_of_files(directory, "written"):
        missing = [each for each in (directory, *directory.parents) if not each.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        for each in missing:
            _flush(each.parent)


def written_whole(partial: Path, path: Path) -> None:
    """Flush a complete file to disk, then rename it to its final name."""
    _flush(partial)
    partial.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
