"""Manifests: what is in a file of archived events, so that it can be told from any other, and from a broken one."""

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
"""What is said of a range whose files are not as they should be. Other ranges may have been moved before."""

_FORMAT = 1
# More than one letter, which would be a drive. A path has one of the slashes of ``s3://`` left.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_MARK_DIGITS = 16


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in one file.

    Attributes:
        format: How the file is written; 1.
        first: The number of its first event.
        last: That of its last one.
        events: How many it has.
        checksum: What they add up to, as ``RowSum`` does it.
        event_types: Which types they have.
        file: The file's name, beside the manifest.
        bytes: How long it is.
        sha256: The digest of all of it, in hexadecimal digits.
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
        """Return what the files of a range are called, but for their ends; they sort as their numbers do.

        What the events add up to is in it: no two ranges have one name, of whichever logs they are, so that no file is
        ever written over one that holds other events.
        """
        return f"events-{first:019}-{last:019}-{digest_of(checksum.encode()).hexdigest()[:_MARK_DIGITS]}"

    @classmethod
    def find(cls, directory: Path, *, first: int, last: int, checksum: str) -> Self | None:
        """Read the manifest of a range, if it is in the directory.

        Raises:
            InvalidRequest: It cannot be read.
        """
        path = directory / f"{cls.stem(first, last, checksum)}.json"
        with told_of_files(path, "read"):
            return cls.read(path) if path.exists() else None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest.

        Raises:
            InvalidRequest: It is none, or one of a later release.
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
        """Make the manifest of a range's file."""
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
        """Write it into a directory. It is there whole, or not at all, also after a crash."""
        path = directory / f"{self.stem(self.first, self.last, self.checksum)}.json"
        partial = path.with_suffix(".json.part")
        with told_of_files(path, "written"):
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
            written_whole(partial, path)


@contextmanager
def told_of_files(path: Path, done: str) -> Iterator[None]:
    """Say of a failure of the file system that it is one: beside a connection it would be taken for a lost one.

    Args:
        path: Which file or directory.
        done: What cannot be done with it: ``read`` or ``written``.

    Raises:
        InvalidRequest: It cannot.
    """
    try:
        yield
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be {done} ({error.strerror or error}); {UNCHANGED}") from error


def check_directory(directory: Path) -> None:
    """See that a path can name a directory of this machine, and be noted in the database.

    Raises:
        InvalidRequest: It is an address of something else, or no text.
    """
    if _ADDRESS.match(str(directory)):
        raise InvalidRequest(
            f"{directory} would be a directory of this machine that is called like an address: archive to another one, "
            "and copy its files from there"
        )
    try:
        str(directory.resolve()).encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{str(directory)!r} is no text in UTF-8: archive to another directory") from None


def make_directory(directory: Path) -> None:
    """Make a directory, if it is missing. It is on the disk then, with those above it: all that is in it hangs on them.

    Raises:
        InvalidRequest: It cannot be made.
    """
    with told_of_files(directory, "written"):
        missing = [each for each in (directory, *directory.parents) if not each.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        for each in missing:
            _flush(each.parent)


def written_whole(partial: Path, path: Path) -> None:
    """Give a file that is written its name, once it is on the disk."""
    _flush(partial)
    partial.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
