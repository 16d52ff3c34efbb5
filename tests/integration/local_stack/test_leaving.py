"""However a stack's owner ends, no process, file or memory of the stack is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from deploy.local.account import Account
from deploy.local.postgres import DATABASE
from deploy.local.reaper import descendants
from deploy.local.reaper_client import ReaperClient
from deploy.local.server import until
from deploy.local.stack import LocalStack
from tests.support.fixtures.environment import Environment
from tests.support.processes import OWNER, left_below, processes_below, shared_memory

_CLONE = Path(__file__).parents[3]


def _owner() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=_CLONE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def _wait(owner: "subprocess.Popen[str]") -> None:
    owner.wait(60)
    assert owner.stdout is not None
    owner.stdout.close()


async def test_two_stacks_run_side_by_side_and_leave_nothing(stack_environment: Environment, base: Path) -> None:
    """The other one is that of all tests."""
    connection = await asyncpg.connect(stack_environment["DATABASE_URL"])
    with LocalStack() as stack:
        assert stack.folder.parent == base
        assert not set(stack.environment().values()) & set(stack_environment.addresses.values())
        stack.primary.query("CREATE TABLE only_here ()", database=DATABASE)
        assert await connection.fetchval("SELECT to_regclass('only_here') IS NULL")
        names = " ".join(processes_below(base))
        assert all(name in names for name in ("postgres", "beam", "epmd"))
    assert left_below(base) == []
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


def test_an_owner_killed_by_force_leaves_nothing(base: Path) -> None:
    owner = _owner()
    assert owner.stdout is not None
    assert Path(owner.stdout.readline().strip()).parent == base
    family = descendants(owner.pid)
    owner.kill()
    _wait(owner)
    until(lambda: not left_below(base), 60, "all to be gone")
    until(lambda: not [pid for pid in family if Path(f"/proc/{pid}").exists()], 60, "every process to be gone")


# An interrupt when the primary is there comes in the next test, and a termination ends Python as a kill does.
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("primary.log", signal.SIGINT),
        ("primary.log", signal.SIGKILL),
        ("rabbitmq.log", signal.SIGTERM),
        ("rabbitmq.log", signal.SIGKILL),
        ("primary/postmaster.pid", signal.SIGKILL),
    ],
)
def test_an_owner_interrupted_during_the_start_leaves_nothing(base: Path, moment: str, number: signal.Signals) -> None:
    owner = _owner()
    until(lambda: list(base.glob(f"*/{moment}")), 60, moment)
    os.killpg(owner.pid, number)  # as a terminal does: to the owner's whole group
    _wait(owner)
    until(lambda: not left_below(base), 60, "all to be gone")


def test_an_interrupt_is_not_answered_before_all_is_gone(base: Path) -> None:
    owner = _owner()
    until(lambda: list(base.glob("*/primary/postmaster.pid")), 60, "the primary")
    os.killpg(owner.pid, signal.SIGINT)
    _wait(owner)
    assert left_below(base) == []


def test_a_killed_postmaster_leaves_no_shared_memory(base: Path) -> None:
    before = shared_memory()
    with LocalStack(replicas=0, broker=False) as stack:
        note = (stack.primary.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        segment = note[6].split()[1]
        stack.primary.kill()
        until(lambda: segment in shared_memory(), 60, "the segment to be left by its processes")
    assert segment not in shared_memory() - before
    assert left_below(base) == []


def test_the_next_start_removes_what_a_killed_reaper_left(base: Path) -> None:
    stack = LocalStack(replicas=0, broker=False)
    stack.start()
    folder, server = stack.folder, stack.primary.pid
    (pid,) = [each for each in descendants(os.getpid()) if server in descendants(each)]
    os.kill(pid, signal.SIGKILL)
    stack.stop()
    until(lambda: not processes_below(base), 60, "the servers to die with their reaper")
    assert folder.exists()
    reaper = ReaperClient(Account.for_servers())
    try:
        assert reaper.folder.exists()
        assert not folder.exists()
    finally:
        reaper.close()
    assert left_below(base) == []


def test_a_folder_in_use_is_not_taken_for_a_stale_one(base: Path) -> None:
    first = ReaperClient(Account.for_servers())
    second = ReaperClient(Account.for_servers())
    try:
        assert first.folder.exists()
        assert first.folder.parent == second.folder.parent == base
    finally:
        second.close()
        first.close()
