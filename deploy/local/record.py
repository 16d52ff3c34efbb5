"""The record of the stack that ``make up`` keeps in the background: a folder in the clone, locked while it runs."""

import fcntl
import os
import shlex
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import StackError

__all__ = ["Record"]

_CLONE = Path(__file__).resolve().parents[2]
_POLL_SECONDS = 0.05


class Record:
    """A folder that names the process which keeps the stack, and the stack's addresses.

    The keeper holds a lock on the folder as long as it lives, however it ends, and the stack's guardian until the last
    process is gone; what the files say counts only while the folder is locked. The files hold passwords, so only their
    owner may read them.

    Args:
        folder: Where; by default ``.stack`` in the clone.
    """

    def __init__(self, folder: Path = _CLONE / ".stack") -> None:
        self.folder = folder
        self._descriptor: int | None = None

    @property
    def is_default(self) -> bool:
        """Whether it is where a clone has its stack."""
        return self.folder == _CLONE / ".stack"

    @property
    def variables(self) -> Path:
        """The file that a shell can source for the addresses."""
        return self.folder / "env"

    @property
    def locks(self) -> tuple[int, ...]:
        """The descriptor that holds the lock, in the keeper; whoever inherits it holds the lock, too."""
        return () if self._descriptor is None else (self._descriptor,)

    def is_kept(self) -> bool:
        """Whether a keeper lives, or what it kept.

        Raises:
            StackError: The folder belongs to someone else.
        """
        try:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StackError(
                f"{self.folder} cannot be read ({error.strerror}): remove it, or change its owner."
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def keep(self, seconds: float = 2.0) -> bool:
        """Become the keeper, for as long as this process lives, and note the process in the folder.

        Args:
            seconds: How long to wait for the lock; whoever only looks holds it for an instant.

        Returns:
            Whether it worked; else there is another keeper.

        Raises:
            StackError: The folder cannot be made or written.
        """
        deadline = time.monotonic() + seconds
        try:
            while not self._lock():
                if time.monotonic() > deadline:
                    return False
                time.sleep(_POLL_SECONDS)
            self._write(self.folder / "pid", str(os.getpid()))
        except OSError as error:
            raise StackError(
                f"{self.folder} cannot be written ({error.strerror}): remove it, or change its owner."
            ) from None
        return True

    def note(self, addresses: Mapping[str, str]) -> None:
        """Write the addresses down, as ``export`` lines."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in addresses.items()]
        self._write(self.variables, "".join(lines))

    def addresses(self) -> dict[str, str]:
        """Return the addresses that were written down; none where no stack is ready."""
        try:
            words = shlex.split(self.variables.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        pairs = (word.partition("=") for word in words if word != "export")
        return {name: value for name, _, value in pairs}

    def keeper(self) -> int | None:
        """Return the keeper's process id, or None while there is none or it has not noted it yet."""
        try:
            return int((self.folder / "pid").read_text(encoding="utf-8")) if self.is_kept() else None
        except (FileNotFoundError, ValueError):
            return None

    def remove(self) -> None:
        """Remove the folder with all in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lock(self) -> bool:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The keeper before may have removed the folder between the two steps: a lock on nothing.
            if self._is(descriptor):
                self._descriptor = descriptor
                return True
        except BlockingIOError:
            pass
        os.close(descriptor)
        return False

    def _is(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.folder.stat())
        except FileNotFoundError:
            return False

    @staticmethod
    def _write(path: Path, text: str) -> None:
        # Whole or not at all: a reader never sees half of it.
        draft = path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
