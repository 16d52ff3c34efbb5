"""Output is written completely or an error is reported; a closed pipe is no failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


def called(*arguments: str, stdout: int, environment: dict[str, str] | None = None) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    return ran.returncode, ran.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full exists on Linux only")
@pytest.mark.parametrize("arguments", [("--version",), ("config",), ("config", "--json")])
def test_a_full_disk_is_reported(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        told = called(*arguments, stdout=full.fileno())
    assert told == (2, "worker: the output cannot be written: No space left on device.\n")


@pytest.mark.parametrize("arguments", [("--version",), ("config",), ("config", "--json")])
def test_a_closed_pipe_is_no_failure(arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        status, complaint = called(*arguments, stdout=writing)
    finally:
        os.close(writing)
    assert complaint == ""
    assert status in {0, 1}


def test_a_closed_pipe_hides_no_exit_status() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    # `check` fails because nothing is set; its output stays in a buffer until the end.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    try:
        status, complaint = called("check", stdout=writing, environment=environment)
    finally:
        os.close(writing)
    assert (status, complaint) == (2, "")
