"""The user that servers run as, and where that user keeps its files."""

import os
import pwd
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError

__all__ = ["Account"]

_UNPRIVILEGED = "nobody"
_DISK = Path("/var/tmp")  # noqa: S108  folders in it are made by mkdtemp; unlike /tmp it is on a disk, so fsync costs


@dataclass(frozen=True, slots=True)
class Account:
    """The user that servers run as: the one who asks, or an unprivileged one where root asks.

    Attributes:
        uid: The user's number.
        gid: Its group's number.
    """

    uid: int
    gid: int

    @classmethod
    def for_servers(cls) -> "Account":
        """Choose the account. PostgreSQL refuses to run as root.

        Raises:
            StackError: Root asks, and the machine has no unprivileged account.
        """
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        try:
            entry = pwd.getpwnam(_UNPRIVILEGED)
        except KeyError:
            raise StackError(
                f"PostgreSQL does not run as root and this machine has no user {_UNPRIVILEGED!r}: "
                "create it, or start as an ordinary user."
            ) from None
        return cls(entry.pw_uid, entry.pw_gid)

    @property
    def is_other(self) -> bool:
        """Whether servers run as another user than this process."""
        return self.uid != os.geteuid()

    def base(self) -> Path:
        """Return the folder to make state folders in: ``TMPDIR`` where it is set, else one that is on a disk.

        A folder that the servers' account could not enter is passed over.

        Raises:
            StackError: No folder will do.
        """
        named = os.environ.get("TMPDIR")
        for folder in (*([Path(named)] if named else []), _DISK, Path(tempfile.gettempdir())):
            if os.access(folder, os.W_OK | os.X_OK) and (not self.is_other or _everyone_may_enter(folder)):
                return folder.resolve()
        raise StackError(f"{_DISK} cannot be used by servers: set TMPDIR to a folder that every user may enter.")


def _everyone_may_enter(folder: Path) -> bool:
    resolved = folder.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in (resolved, *resolved.parents))
