"""Ctrl-C while a program of the local stack still imports what it needs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAMS = ("deploy.local", "deploy.local.demo", "deploy.local.example", "deploy.local.load")


def started(program: str, folder: Path, error: str) -> subprocess.CompletedProcess[str]:
    """Start a program whose first import of a library raises an error."""
    for name in ("asyncpg", "typer", "rich", "psutil"):
        (folder / f"{name}.py").write_text(f"raise {error}\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", program, "--help"],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(folder)},
        cwd=ROOT,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_shows_no_traceback(program: str, tmp_path: Path) -> None:
    done = started(program, tmp_path, "KeyboardInterrupt")
    # As any program that Ctrl-C ends without a word: a shell sees the signal.
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_bug_keeps_its_traceback(program: str, tmp_path: Path) -> None:
    done = started(program, tmp_path, "ZeroDivisionError")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback ")
    assert done.stderr.endswith("\nZeroDivisionError\n")
