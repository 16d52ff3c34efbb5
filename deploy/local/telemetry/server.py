"""What the servers that watch have in common: a program on the PATH, and a page by which it is seen that they serve."""

import http.client
import shutil
import socket
import urllib.error
import urllib.request
from abc import abstractmethod
from pathlib import Path

from deploy.local.ports import LOOPBACK
from deploy.local.reaper_client import ReaperClient
from deploy.local.server import Server

__all__ = ["TelemetryServer", "program"]

_ASK_SECONDS = 2.0


def program(*names: str) -> Path | None:
    """Return the first of some programs that is on the PATH, or None."""
    found = next((path for name in names if (path := shutil.which(name)) is not None), None)
    return None if found is None else Path(found).resolve()


class TelemetryServer(Server):
    """A server that watches.

    Args:
        reaper: Runs it.
        name: What a person calls it.
        program: Its program.
        copied: Whether the servers' account may be unable to enter the program's folder.
    """

    def __init__(self, reaper: ReaperClient, name: str, program: Path, *, copied: bool) -> None:
        super().__init__(reaper, name)
        self._program = program
        if copied:
            self._program = reaper.folder / f"{name}-program"
            shutil.copyfile(program, self._program)
            self._program.chmod(0o755)

    @abstractmethod
    def _pages(self) -> tuple[str, ...]:
        """Return the addresses that answer with status 200 once it serves."""

    def _listening(self) -> tuple[int, ...]:
        """Return the ports that must be open besides."""
        return ()

    def _is_ready(self) -> bool:
        try:
            for page in self._pages():
                urllib.request.urlopen(page, timeout=_ASK_SECONDS).close()  # noqa: S310  a fixed scheme
            for port in self._listening():
                socket.create_connection((LOOPBACK, port), timeout=_ASK_SECONDS).close()
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except (OSError, http.client.HTTPException):
            return False
        return True
