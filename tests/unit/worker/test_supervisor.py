"""The supervisor's decisions, with small processes that report and end as configured."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.fixtures.waiting import eventually
from worker.supervision.health import Health
from worker.supervision.supervisor import RestartLimits, Supervisor

# Records its start in a given file, and holds the end of a control socket, passed as the last argument.
PROCESS = """
import json, os, signal, socket, sys
control_socket = socket.socket(fileno=int(sys.argv[-1]))
with open(sys.argv[1], "a") as starts:
    starts.write("start\\n")
started = len(open(sys.argv[1]).readlines())
def say(**health):
    health = {"live": True, "ready": True, "reason": "consuming"} | health
    control_socket.sendall(json.dumps({"health": health}).encode() + b"\\n")
"""
DRAINS = "say(); control_socket.recv(1)"


@dataclass
class Run:
    """A running supervisor.

    Attributes:
        starts: A file with a line for each start of a process.
        ended: Its exit status, once it has ended.
    """

    supervisor: Supervisor
    starts: Path
    ended: asyncio.Task[int]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    async def started(self, count: int) -> None:
        async def have_started() -> bool:
            return self.starts.exists() and len(self.starts.read_text().splitlines()) >= count

        await eventually(have_started, what=f"{count} starts")

    async def judged(self, **expected: Any) -> Health:
        async def is_so() -> bool:
            found = self.supervisor.health()
            return all(getattr(found, name) == value for name, value in expected.items())

        await eventually(is_so, what=f"{expected}")
        return self.supervisor.health()

    async def status(self) -> int:
        async with asyncio.timeout(30):
            return await self.ended


@asynccontextmanager
async def supervising(
    tmp_path: Path, what: str, *, processes: int = 1, grace: float = 60, **limits: Any
) -> AsyncIterator[Run]:
    """Supervise processes that run this code; all have ended at the end."""
    starts = tmp_path / "starts"
    supervisor = Supervisor(
        (sys.executable, "-S", "-c", PROCESS + what, str(starts)),
        processes,
        grace=grace,
        drain_deadline=limits.pop("drain_deadline", 20.0),
        limits=RestartLimits(**({"first_delay": 0.01, "longest_delay": 0.05} | limits)),
    )
    stop, hurry = asyncio.Event(), asyncio.Event()
    run = Run(supervisor, starts, asyncio.create_task(supervisor.run(stop, hurry)), stop, hurry)
    try:
        yield run
    finally:
        run.ended.cancel()
        await asyncio.gather(run.ended, return_exceptions=True)


async def test_all_processes_drain_on_a_stop_and_that_is_success(tmp_path: Path) -> None:
    async with supervising(tmp_path, DRAINS, processes=3) as run:
        assert (await run.judged(ready=True)).reason == "3 processes are consuming"
        run.stop.set()
        assert await run.status() == 0
        assert run.supervisor.health() == Health(live=True, ready=False, reason="draining")
    assert len(run.starts.read_text().splitlines()) == 3


async def test_a_process_that_leaves_work_behind_is_a_failure(tmp_path: Path) -> None:
    async with supervising(tmp_path, DRAINS + "; sys.exit(started == 2)", processes=2) as run:
        await run.judged(ready=True)
        run.stop.set()
        assert await run.status() == 1


async def test_a_process_that_does_not_consume_yet_has_nothing_to_drain(tmp_path: Path) -> None:
    second_fails = "if started == 2:\n control_socket.recv(1)\n sys.exit(2)\nsay(); control_socket.recv(1)"
    async with supervising(tmp_path, second_fails, processes=2) as run:
        await run.started(2)
        run.stop.set()
        assert await run.status() == 0


async def test_a_process_that_ends_is_restarted(tmp_path: Path) -> None:
    ends_once = "say()\nif started == 1: os.kill(os.getpid(), signal.SIGSEGV)\ncontrol_socket.recv(1)"
    async with supervising(tmp_path, ends_once) as run:
        await run.started(2)
        await run.judged(live=True, ready=True)
        run.stop.set()
        assert await run.status() == 0


@pytest.mark.parametrize("grace", [0.0, 3600.0])
async def test_a_restarting_process_counts_as_live_during_the_grace_period_only(tmp_path: Path, grace: float) -> None:
    ends = "say(); os.kill(os.getpid(), signal.SIGSEGV)"
    async with supervising(tmp_path, ends, first_delay=3600, longest_delay=3600, grace=grace) as run:

        async def has_ended() -> bool:
            return "worker 1: it was ended by SIGSEGV, for " in run.supervisor.health().reason

        await eventually(has_ended, what="its end to be noticed")
        found = run.supervisor.health()
        assert (found.live, found.ready) == (grace > 0, False)
        run.stop.set()
        # Its end was logged when it happened, and there is nothing to drain.
        assert await run.status() == 0


async def test_a_process_that_ends_repeatedly_ends_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    only_the_first_goes_on = "say()\nif started > 1: os.kill(os.getpid(), signal.SIGKILL)\ncontrol_socket.recv(1)"
    async with supervising(tmp_path, only_the_first_goes_on, processes=2, most_restarts=2) as run:
        assert await run.status() == 1
    assert len(run.starts.read_text().splitlines()) == 4
    assert "was ended by SIGKILL; giving up after 2 restarts in a row" in caplog.text


@pytest.mark.parametrize(
    ("what", "bounds"),
    [
        # Growing delays.
        ("say(); sys.exit(1)", [0.01, 0.02, 0.04, 0.05, 0.05]),
        # After an environment error, each delay is the longest one.
        ("say(); sys.exit(2)", [0.05, 0.05, 0.05, 0.05, 0.05]),
    ],
)
async def test_half_of_each_delay_before_a_restart_is_jitter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, bounds: list[float]
) -> None:
    ranges: list[tuple[float, float]] = []

    def shortest(low: float, high: float) -> float:
        ranges.append((low, high))
        return low

    monkeypatch.setattr("random.uniform", shortest)
    async with supervising(tmp_path, what, most_restarts=5) as run:
        await run.started(6)
    assert ranges[:5] == [(bound / 2, bound) for bound in bounds]


async def test_the_restarts_of_a_process_that_worked_are_counted_from_zero(tmp_path: Path) -> None:
    async with supervising(tmp_path, "say(); sys.exit(1)", most_restarts=1, useful=0) as run:
        await run.started(5)
        assert not run.ended.done()


async def test_a_usage_error_of_the_first_process_ends_all_before_the_others_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with supervising(tmp_path, "sys.exit(2)", processes=3) as run:
        assert await run.status() == 2
    assert run.starts.read_text() == "start\n"
    # The process has reported it.
    assert caplog.text == ""


async def test_environment_errors_after_the_start_are_retried(tmp_path: Path) -> None:
    async with supervising(tmp_path, "say(); sys.exit(2)", most_restarts=1) as run:
        await run.started(6)
        assert not run.ended.done()


async def test_a_stuck_process_is_killed_and_restarted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stuck_once = "say()\nif started == 1: os.kill(os.getpid(), signal.SIGSTOP)\ncontrol_socket.recv(1)"
    async with supervising(tmp_path, stuck_once, most_silence=0.5) as run:
        await run.started(2)
    assert "has been stuck for 0.5 s; it is killed" in caplog.text


async def test_a_process_that_no_longer_reports_is_not_ready(tmp_path: Path) -> None:
    """It may be blocked, and consume nothing."""
    async with supervising(tmp_path, DRAINS, longest_ready=0.2) as run:

        async def is_doubted() -> bool:
            return "worker 1: it has not reported for " in run.supervisor.health().reason

        await eventually(is_doubted, what="the process to be doubted")
        assert (run.supervisor.health().live, run.supervisor.health().ready) == (True, False)


async def test_a_process_that_does_not_drain_is_hurried_and_then_killed(tmp_path: Path) -> None:
    deaf = "say()\nwhile True: signal.pause()"
    async with supervising(tmp_path, deaf, drain_deadline=0, end=0.2) as run:
        await run.judged(ready=True)
        run.stop.set()
        assert await run.status() == 1


async def test_a_hurry_reaches_the_processes(tmp_path: Path) -> None:
    hurries = (
        "say()\nsaid = control_socket.recv(1) + control_socket.recv(1)\n"
        "open(sys.argv[1], 'a').write(said.decode()); sys.exit(1)"
    )
    async with supervising(tmp_path, hurries) as run:
        await run.judged(ready=True)
        run.stop.set()
        run.hurry.set()
        assert await run.status() == 1
    assert run.starts.read_text() == "start\nsh"


async def test_a_processs_own_health_counts(tmp_path: Path) -> None:
    async with supervising(tmp_path, 'say(live=False, ready=False, reason="deaf"); control_socket.recv(1)') as run:
        found = await run.judged(live=False)
        assert found == Health(live=False, ready=False, reason="worker 1: deaf")
