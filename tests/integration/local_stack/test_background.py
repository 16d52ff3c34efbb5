"""The commands behind ``make up`` and ``make down``."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.guardian import descendants
from deploy.local.record import Record
from deploy.local.server import until
from tests.support.processes import left_below

_CLONE = Path(__file__).parents[3]


@pytest.fixture
def record(tmp_path: Path, base: Path) -> Iterator[Record]:
    """A record of the test's own; what it started is stopped afterwards, also when the test fails."""
    record = Record(tmp_path / "record")
    yield record
    _run(record, "down")
    until(lambda: not left_below(base), 60, "all to be gone")


def _command(record: Record, command: str) -> list[str]:
    return [sys.executable, "-m", "deploy.local", "--record", str(record.folder), command]


def _run(record: Record, command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(_command(record, command), cwd=_CLONE, capture_output=True, text=True, check=False)


def _words(pid: int) -> bytes:
    """A process's command line; nothing of one that is gone, or waits only for its end to be noticed."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_stack_outlives_up_and_ends_with_down(record: Record, base: Path) -> None:
    up = _run(record, "up")
    assert up.returncode == 0, up.stderr
    # Beside them, what watches, where it is on the PATH.
    watching = {"OTEL_EXPORTER_OTLP_ENDPOINT", "WORKER_TRACE_URL", "WORKER_METRICS_URL"}
    expected = 5 + len(record.addresses().keys() & watching)
    assert up.stdout.count("answers") == expected
    script = f"source {shlex.quote(str(record.variables))} && printenv DATABASE_URL"
    sourced = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607
    assert sourced == record.addresses()["DATABASE_URL"]
    assert f"export DATABASE_URL={sourced}" in up.stdout
    assert record.variables.stat().st_mode & 0o077 == 0

    again = _run(record, "up")
    assert again.returncode == 0
    assert "runs already" in again.stdout
    assert record.addresses()["DATABASE_URL"] == sourced
    assert _run(record, "status").stdout.count("answers") == expected

    down = _run(record, "down")
    assert (down.returncode, down.stderr) == (0, "")
    until(lambda: not left_below(base), 60, "all to be gone")
    assert not record.folder.exists()


def test_down_says_stopped_when_the_last_process_is_gone(record: Record, base: Path) -> None:
    assert _run(record, "up").returncode == 0
    keeper = record.keeper()
    assert keeper is not None
    (guardian,) = (pid for pid in descendants(keeper) if b"guardian.py" in _words(pid))
    # Its servers are ended by their guardian alone, which may take its time.
    os.kill(guardian, signal.SIGSTOP)
    try:
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not _words(keeper), 10, "the keeper to be gone")
        assert record.is_kept()
    finally:
        os.kill(guardian, signal.SIGCONT)
    down = _run(record, "down")
    assert (down.returncode, down.stderr) == (0, "")
    assert left_below(base) == []
    assert not record.folder.exists()


def test_without_a_stack_status_and_down_say_so(record: Record) -> None:
    status = _run(record, "status")
    assert (status.returncode, status.stdout) == (1, "No local stack runs here; start one with 'make up'.\n")
    down = _run(record, "down")
    assert (down.returncode, down.stdout) == (0, "No local stack runs here.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_up_that_is_interrupted_leaves_nothing(record: Record, base: Path, number: signal.Signals) -> None:
    up = subprocess.Popen(
        _command(record, "up"), cwd=_CLONE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    until(lambda: list(base.glob("*/primary/postmaster.pid")), 60, "the primary")
    up.send_signal(number)
    _, said = up.communicate(timeout=60)
    if number == signal.SIGINT:
        assert (up.returncode, said) == (130, "Interrupted.\n")
    until(lambda: not left_below(base), 60, "all to be gone")
    until(lambda: not record.folder.exists(), 10, "the record to be gone")


def test_a_mistake_is_one_sentence_and_status_2(record: Record) -> None:
    record.folder.write_text("a file where a folder should be", encoding="utf-8")
    up = _run(record, "up")
    assert up.returncode == 2
    assert len(up.stderr.splitlines()) == 1
    assert "remove it" in up.stderr
    record.folder.unlink()


def test_a_keeper_that_died_is_no_stack(record: Record) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if record.keep() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert record.folder.exists()
    assert not record.is_kept()
    assert record.keeper() is None
