"""The folder of the stack that ``make up`` runs in the background: in the clone, and locked while the stack runs."""

import fcntl
import os
import shlex
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import StackError

__all__ = ["StackFolder"]

_CLONE = Path(__file__).resolve().parents[2]
_POLL_SECONDS = 0.05


class StackFolder:
    """A folder with the process id of the stack's daemon, and the stack's addresses.

    The daemon holds a lock on the folder for as long as it lives, and the stack's reaper until the last process has
    ended. The files are valid only while the folder is locked. They hold passwords, so only their owner may read them.

    Args:
        path: The folder's path; by default ``.stack`` in the clone.
    """

    def __init__(self, path: Path = _CLONE / ".stack") -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def is_default(self) -> bool:
        """Whether it is ``.stack`` in the clone."""
        return self.path == _CLONE / ".stack"

    @property
    def variables(self) -> Path:
        """The file with the addresses, for a shell to source."""
        return self.path / "env"

    @property
    def locks(self) -> tuple[int, ...]:
        """The descriptor that holds the lock, in the daemon. A process that inherits it holds the lock, too."""
        return () if self._descriptor is None else (self._descriptor,)

    def is_locked(self) -> bool:
        """Whether a daemon, or its reaper, is alive.

        Raises:
            StackError: The folder belongs to someone else.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StackError(
                f"{self.path} cannot be read ({error.strerror}): remove it, or change its owner."
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def claim(self, seconds: float = 2.0) -> bool:
        """Lock the folder for as long as this process lives, and write its process id.

        Args:
            seconds: How long to wait for the lock. ``is_locked`` holds it for an instant.

        Returns:
            Whether it is locked now; if not, another daemon has it.

        Raises:
            StackError: The folder cannot be made or written.
        """
        deadline = time.monotonic() + seconds
        try:
            while not self._lock():
                if time.monotonic() > deadline:
                    return False
                time.sleep(_POLL_SECONDS)
            self._write(self.path / "pid", str(os.getpid()))
        except OSError as error:
            raise StackError(
                f"{self.path} cannot be written ({error.strerror}): remove it, or change its owner."
            ) from None
        return True

    def note(self, addresses: Mapping[str, str]) -> None:
        """Write the addresses, as ``export`` lines."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in addresses.items()]
        self._write(self.variables, "".join(lines))

    def addresses(self) -> dict[str, str]:
        """Return the addresses that were written; none if no stack is ready."""
        try:
            words = shlex.split(self.variables.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        pairs = (word.partition("=") for word in words if word != "export")
        return {name: value for name, _, value in pairs}

    def daemon(self) -> int | None:
        """Return the daemon's process id, or None if there is none, or it has not written it yet."""
        try:
            return int((self.path / "pid").read_text(encoding="utf-8")) if self.is_locked() else None
        except (FileNotFoundError, ValueError):
            return None

    def remove(self) -> None:
        """Remove the folder with all in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _lock(self) -> bool:
        self.path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The daemon before may have removed the folder between the two steps: a lock on nothing.
            if self._is(descriptor):
                self._descriptor = descriptor
                return True
        except BlockingIOError:
            pass
        os.close(descriptor)
        return False

    def _is(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    @staticmethod
    def _write(path: Path, text: str) -> None:
        # Whole or not at all: a reader never sees half of it.
        draft = path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
