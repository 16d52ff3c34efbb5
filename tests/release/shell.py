"""A shell that runs the commands of a page and returns their output."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

__all__ = ["Shell"]

_POLL_SECONDS = 0.05
_KEPT = ("PATH", "PIP_", "PYENV_", "LANG")


class Shell:
    """A bash with job control, as in a terminal.

    Args:
        folder: Its working directory and home.
        variables: Its environment, besides PATH and what pip needs.
    """

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.errors = folder / "stderr.log"
        self._stderr = self.errors.open("wb")
        kept = {
            name: value for name, value in os.environ.items() if name.startswith(("PATH", "PIP_", "PYENV_", "LANG"))
        }
        self._bash = subprocess.Popen(
            [shutil.which("bash") or "bash", "--noprofile", "--norc"],
            cwd=folder,
            env=kept | variables | {"HOME": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        self.type("set -m")

    def type(self, command: str) -> str:
        """Run a command, and return its standard output.

        Raises:
            AssertionError: Its exit status was not 0, or the shell has ended.
        """
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{command}\nprintf '\\n@@%d@@\\n' $?\n")
        self._bash.stdin.flush()
        printed: list[str] = []
        for line in self._bash.stdout:
            if end := re.fullmatch(r"@@(\d+)@@\n", line):
                assert end[1] == "0", f"{command}: exit status {end[1]}\n{''.join(printed)}{self._said()}"
                return "".join(printed)[:-1]
            printed.append(line)
        raise AssertionError(f"the shell has ended at {command}\n{self._said()}")

    def wait_for(self, words: str, *, times: int = 1, seconds: float = 60.0) -> None:
        """Wait until these words have appeared on standard error, once or several times.

        Raises:
            AssertionError: They did not in time.
        """
        until = time.monotonic() + seconds
        while self._said().count(words) < times:
            assert time.monotonic() < until, f"waited for {words} in vain\n{self._said()}"
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """End the shell; its background jobs must have ended before."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.close()
        self._bash.wait(60)
        self._bash.stdout.close()
        self._stderr.close()

    def _said(self) -> str:
        return self.errors.read_text(encoding="utf-8", errors="replace")
