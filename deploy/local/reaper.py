"""The reaper: the process whose children the servers are. It outlives the owner just long enough to end them.

It is a program of its own (``python reaper.py BASE UID GID OWNER``), started by ``ReaperClient``, and uses the standard
library only. It makes a private state folder below BASE, says which, and then answers requests, one
JSON object a line. When its standard input ends, because the owner stopped the stack, was interrupted, or was killed,
it ends every process that descends from it and removes the folder. Nothing depends on the owner's being able to.

Invariants:

* Every descendant stays its descendant: it is a *subreaper*, so a server that daemonises is still found and ended.
* Should the reaper itself be killed, the kernel kills its children (PR_SET_PDEATHSIG), and the folder, whose lock is
  then free, is removed by the next reaper that starts.
"""

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PREFIX = "dynamic-streams-"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IPC_RMID = 0
_LINGER_SECONDS = 5.0
_POLL_SECONDS = 0.01
_OWNER_CHECK_SECONDS = 1.0
# States of a process that does nothing more for now, and of one that is no more.
_STANDING = frozenset("Tt") | {"", "Z", "X"}
_GONE = frozenset({"", "Z", "X"})
_SHARED_MEMORY_LINE = 6  # of postmaster.pid, counted from 0: "key id" of the System V segment
_libc = ctypes.CDLL(None, use_errno=True)


class Children:
    """The processes started on request, by process id."""

    def __init__(self, uid: int, gid: int) -> None:
        self._account: dict[str, Any] = {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._farewells: dict[int, int] = {}
        self._codes: dict[int, int] = {}

    def start(self, argv: list[str], env: dict[str, str], cwd: str, log: str, farewell: int) -> int:
        """Start a program as the servers' account, in a session of its own, and return its process id."""
        with Path(log).open("ab") as output:
            process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509  the reaper has one thread
                **self._account,
            )
        self._running[process.pid] = process
        self._farewells[process.pid] = farewell
        return process.pid

    def status(self, pid: int) -> int | None:
        """Return a child's exit status, or None while it runs."""
        self.reap()
        return self._codes.get(pid)

    def signal(self, pid: int, number: int) -> None:
        """Signal a child that has not ended; its number cannot be another process's while it is not reaped."""
        self.reap()
        if pid in self._running:
            os.kill(pid, number)

    def kill(self, pid: int) -> None:
        """End a child, with all that descends from it, by SIGKILL, and wait until none of them is left.

        A database whose first process alone is killed goes on for a moment: a session that is under way may still
        commit, and the memory that they share keeps the next start from succeeding.
        """
        self.reap()
        if pid not in self._running:
            return
        # Stopped, it has no more children while they are looked for; their children do not outlive it as its own.
        os.kill(pid, signal.SIGSTOP)
        _until(lambda: _state(pid) in _STANDING)
        doomed = {pid, *descendants(pid)}
        for each in doomed:
            _kill(each)
        _until(lambda: not any(map(self._is_left, doomed)))

    def _is_left(self, pid: int) -> bool:
        self.reap()
        return _state(pid) not in _GONE

    def reap(self) -> None:
        """Collect the children, also adopted ones, that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (process := self._running.pop(pid, None)) is not None:
                process.returncode = self._codes[pid] = os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        """End every descendant: politely where that leaves less behind, then by force."""
        for pid in list(self._running):
            self.signal(pid, self._farewells[pid])
        deadline = time.monotonic() + _LINGER_SECONDS
        while self._running and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            self.reap()
        deadline = time.monotonic() + _LINGER_SECONDS
        while (rest := descendants(os.getpid())) and time.monotonic() < deadline:
            for pid in rest:
                _kill(pid)
            time.sleep(_POLL_SECONDS)
            self.reap()


def descendants(root: int) -> set[int]:
    """Return the processes that descend from a process, without itself; those that are dead but not reaped count."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    pending = [root]
    while pending:
        for pid in children.get(pending.pop(), []):
            found.add(pid)
            pending.append(pid)
    return found


def _processes() -> Iterator[tuple[int, int]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # it ended meanwhile
            # The name, in parentheses, may hold anything; state and parent follow the last one.
            yield int(entry.name), int(stat.rpartition(")")[2].split()[1])


def _state(pid: int) -> str:
    """Return the letter by which the kernel tells a process's state; an empty text where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LINGER_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _die_with(reaper: int) -> Callable[[], None]:
    def ask() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != reaper:  # it died before the kernel knew the wish
            os._exit(1)

    return ask


def _claim(base: Path, uid: int, gid: int) -> tuple[Path, int]:
    """Make a state folder and lock it; the lock marks it as in use."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        # Another reaper that sweeps may have taken the folder for a stale one between the two steps.
        if _locked(descriptor) and folder.exists():
            os.fchown(descriptor, uid, gid)
            return folder, descriptor
        os.close(descriptor)


def _sweep(base: Path, owners: set[int]) -> None:
    """Remove the folders whose reaper no longer lives: after a crash of the machine, or of the reaper."""
    for folder in base.glob(f"{PREFIX}*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's, or gone
        if os.fstat(descriptor).st_uid in owners and _locked(descriptor):
            _remove(folder)
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(folder: Path) -> None:
    for note in folder.glob("*/postmaster.pid"):
        _free_shared_memory(note)
    deadline = time.monotonic() + _LINGER_SECONDS
    while folder.exists() and time.monotonic() < deadline:  # again, where the owner was just writing a file
        shutil.rmtree(folder, ignore_errors=True)


def _free_shared_memory(note: Path) -> None:
    """Free the System V segment that a postmaster leaves when it is killed by force, and notes in its data folder."""
    try:
        line = note.read_text(encoding="utf-8").splitlines()[_SHARED_MEMORY_LINE]
        key, segment = map(int, line.split())
    except (OSError, IndexError, ValueError):
        return
    # After a restart of the machine the number may be another program's: key and number together are not.
    if _libc.shmget(key, 0, 0) == segment:
        _libc.shmctl(segment, _IPC_RMID, None)


def _answer(children: Children, request: dict[str, Any]) -> dict[str, Any]:
    number, operation = request.pop("id"), request.pop("operation")
    try:
        return {"id": number, "result": getattr(children, operation)(**request)}
    except OSError as error:
        return {"id": number, "error": f"{error.strerror}: {error.filename}"}


def _serve(children: Children, owner: int) -> None:
    """Answer requests until the owner is gone."""
    pending = b""
    while os.getppid() == owner:
        readable, _, _ = select.select([0], [], [], _OWNER_CHECK_SECONDS)
        children.reap()
        if not readable:
            continue
        if not (received := os.read(0, 65536)):
            return
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            _say(_answer(children, json.loads(line)))


def _say(reply: dict[str, Any]) -> None:
    os.write(1, json.dumps(reply).encode() + b"\n")


def _end_by_signal(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing. A handler, not SIG_IGN, which the servers would inherit."""


def main(base: Path, uid: int, gid: int, owner: int) -> None:
    """ReaperClient the servers of one owner until it is gone, then end them and remove their folder."""
    os.chdir("/")
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _ignore)
    signal.signal(signal.SIGTERM, _end_by_signal)
    _sweep(base, {uid, os.geteuid()})
    folder, lock = _claim(base, uid, gid)
    children = Children(uid, gid)
    try:
        _say({"folder": str(folder)})
        _serve(children, owner)
    except BrokenPipeError:
        return  # the owner died while it was answered
    finally:
        signal.signal(signal.SIGTERM, _ignore)
        children.end()
        _remove(folder)
        os.close(lock)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
