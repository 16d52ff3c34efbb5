"""The commands behind ``make up`` and ``make down``."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.reaper import descendants
from deploy.local.server import until
from deploy.local.stack_folder import StackFolder
from tests.support.processes import left_below

_CLONE = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path, base: Path) -> Iterator[StackFolder]:
    """A folder of the test's own; what it started is stopped afterwards, also when the test fails."""
    folder = StackFolder(tmp_path / "stack")
    yield folder
    _run(folder, "down")
    until(lambda: not left_below(base), 60, "all to be gone")


def _command(folder: StackFolder, command: str) -> list[str]:
    return [sys.executable, "-m", "deploy.local", "--folder", str(folder.path), command]


def _run(folder: StackFolder, command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(_command(folder, command), cwd=_CLONE, capture_output=True, text=True, check=False)


def _words(pid: int) -> bytes:
    """A process's command line; nothing of one that is gone, or waits only for its end to be noticed."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_stack_outlives_up_and_ends_with_down(folder: StackFolder, base: Path) -> None:
    up = _run(folder, "up")
    assert up.returncode == 0, up.stderr
    # Beside them, what watches, where it is on the PATH.
    watching = {"OTEL_EXPORTER_OTLP_ENDPOINT", "WORKER_TRACE_URL", "WORKER_METRICS_URL"}
    expected = 5 + len(folder.addresses().keys() & watching)
    assert up.stdout.count("answers") == expected
    script = f"source {shlex.quote(str(folder.variables))} && printenv DATABASE_URL"
    sourced = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607
    assert sourced == folder.addresses()["DATABASE_URL"]
    assert f"export DATABASE_URL={sourced}" in up.stdout
    assert folder.variables.stat().st_mode & 0o077 == 0

    again = _run(folder, "up")
    assert again.returncode == 0
    assert "runs already" in again.stdout
    assert folder.addresses()["DATABASE_URL"] == sourced
    assert _run(folder, "status").stdout.count("answers") == expected

    down = _run(folder, "down")
    assert (down.returncode, down.stderr) == (0, "")
    until(lambda: not left_below(base), 60, "all to be gone")
    assert not folder.path.exists()


def test_down_says_stopped_when_the_last_process_is_gone(folder: StackFolder, base: Path) -> None:
    assert _run(folder, "up").returncode == 0
    daemon = folder.daemon()
    assert daemon is not None
    (reaper,) = (pid for pid in descendants(daemon) if b"reaper.py" in _words(pid))
    # Its servers are ended by their reaper alone, which may take its time.
    os.kill(reaper, signal.SIGSTOP)
    try:
        os.kill(daemon, signal.SIGKILL)
        until(lambda: not _words(daemon), 60, "the daemon to be gone")
        assert folder.is_locked()
    finally:
        os.kill(reaper, signal.SIGCONT)
    down = _run(folder, "down")
    assert (down.returncode, down.stderr) == (0, "")
    assert left_below(base) == []
    assert not folder.path.exists()


def test_without_a_stack_status_and_down_say_so(folder: StackFolder) -> None:
    status = _run(folder, "status")
    assert (status.returncode, status.stdout) == (1, "No local stack runs here; start one with 'make up'.\n")
    down = _run(folder, "down")
    assert (down.returncode, down.stdout) == (0, "No local stack runs here.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_up_that_is_interrupted_leaves_nothing(folder: StackFolder, base: Path, number: signal.Signals) -> None:
    up = subprocess.Popen(
        _command(folder, "up"), cwd=_CLONE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    until(lambda: list(base.glob("*/primary/postmaster.pid")), 60, "the primary")
    up.send_signal(number)
    _, said = up.communicate(timeout=60)
    if number == signal.SIGINT:
        assert (up.returncode, said) == (130, "Interrupted.\n")
    until(lambda: not left_below(base), 60, "all to be gone")
    until(lambda: not folder.path.exists(), 60, "the folder to be gone")


def test_a_mistake_is_one_sentence_and_status_2(folder: StackFolder) -> None:
    folder.path.write_text("a file where a folder should be", encoding="utf-8")
    up = _run(folder, "up")
    assert up.returncode == 2
    assert len(up.stderr.splitlines()) == 1
    assert "remove it" in up.stderr
    folder.path.unlink()


def test_a_daemon_that_died_is_no_stack(folder: StackFolder) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if folder.claim() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert folder.path.exists()
    assert not folder.is_locked()
    assert folder.daemon() is None
