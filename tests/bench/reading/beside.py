"""A projection beside a worker: what it costs the worker, the lag of its rows, and its memory."""

import os
import re
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles

import asyncpg

from tests.bench.figure import CPU
from tests.bench.reading.followed import domain
from tests.bench.reading.lag import Lag
from tests.bench.reading.open_load import OpenLoad
from tests.bench.worker.timed import Timed
from worker.amqp.connection import Link
from worker.amqp.declaration import declare
from worker.load.cpu import cpu_spent
from worker.topology import Topology

__all__ = ["Beside"]

_WORKER = (sys.executable, "-m", "worker", "run")
_PROJECT = (sys.executable, "-m", "worker", "project")
_VARIABLES = {
    "WORKER_DOMAINS": "tests.bench.reading.followed:domain",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    # A timeout would end the measurement on a busy machine.
    "WORKER_REPLY_TIMEOUT": "120",
}
_SECONDS = 10.0
_WARM_SECONDS = 2.0
_PAIRS = 4
_CATCH_UP_SECONDS = 3600.0
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_IS_BEHIND = """
SELECT coalesce(max(number), 0) < (SELECT max(sequence_number) FROM eventstore.events)
FROM reading.followers WHERE kind = 'projection' AND domain = 'followed'
"""
_DATABASE = "postgres"


class Beside:
    """A worker under an open load, without and with a process that projects its events.

    Args:
        addresses: The servers, as the worker's settings name them.
        admin: The superuser's connection.
        samples: The measured values are added to it, by figure.
        progress: Called with a description of each step.
    """

    def __init__(
        self,
        addresses: Mapping[str, str],
        admin: "asyncpg.Connection[asyncpg.Record]",
        samples: defaultdict[str, list[float]],
        progress: Callable[[str], None],
    ) -> None:
        self._addresses = addresses
        self._environment = {**os.environ, **addresses, **_VARIABLES}
        self._admin = admin
        self._samples = samples
        self._progress = progress

    async def run(self, rounds: int, *, rate: int) -> None:
        """Have a projection catch up with the log, then follow a worker, on and off.

        Args:
            rounds: The number of rounds, of four pairs of phases each.
            rate: Commands a second.

        Raises:
            BenchError: A process failed, or a command was not answered.
        """
        link = Link(self._addresses["AMQP_URL"], name="bench", prepare=partial(declare, topology=Topology.of(domain)))
        await link.wire()
        await link.close()
        self._progress("reading: a process catches up")
        async with self._projecting():
            pass
        async with OpenLoad.open(self._addresses["AMQP_URL"]) as load:
            with Timed.running(_WORKER, self._environment) as worker:
                await worker.logged("consuming")
                await load.run(rate=rate, seconds=_WARM_SECONDS)
                for number in range(rounds * _PAIRS):
                    self._progress(f"reading: {rate:,} commands/s, pair {number + 1} of {rounds * _PAIRS}")
                    # Alternating order, so that a drift from phase to phase affects both equally.
                    for with_projection in (False, True) if number % 2 == 0 else (True, False):
                        if not with_projection:
                            await self._phase(load, worker, None, rate)
                            continue
                        async with self._projecting() as project:
                            await self._phase(load, worker, project, rate)
                await worker.ended(signal.SIGTERM)

    @asynccontextmanager
    async def _projecting(self) -> AsyncIterator[Timed]:
        """Run a projecting process that has caught up; at its end, its memory is a sample."""
        with Timed.running(_PROJECT, self._environment) as project:
            await project.logged("projecting")
            await project.until(self._has_caught_up, what="the log's end", seconds=_CATCH_UP_SECONDS)
            yield project
            self._samples["project_memory"].append(_peak_memory(project.pid))
            await project.ended(signal.SIGTERM)

    async def _has_caught_up(self) -> bool:
        return await self._admin.fetchval(_IS_BEHIND) is False

    async def _phase(self, load: OpenLoad, worker: Timed, project: Timed | None, rate: int) -> None:
        await load.run(rate=rate, seconds=_WARM_SECONDS)
        before = _spent(worker, project)
        async with Lag.sampled(self._addresses["DATABASE_ADMIN_URL"]) as lag:
            took = await load.run(rate=rate, seconds=_SECONDS)
            if project is not None:
                await project.until(self._has_caught_up, what="the log's end")
        after = _spent(worker, project)
        worked, projected, served = (
            (late - early) / len(took) * 1e6 for early, late in zip(before, after, strict=True)
        )
        beside = "_beside" if project is not None else ""
        self._take(f"decide{beside}{CPU}", worked)
        self._take(f"decide_database{beside}{CPU}", served)
        self._take(f"decide_p50{beside}", _hundredth(took, 50))
        self._take(f"decide_p99{beside}", _hundredth(took, 99))
        if project is not None:
            self._take(f"project_beside{CPU}", projected)
            self._take("lag_p50", _hundredth(lag.milliseconds, 50))
            self._take("lag_p99", _hundredth(lag.milliseconds, 99))

    def _take(self, name: str, value: float) -> None:
        self._samples[name].append(value)


def _spent(worker: Timed, project: Timed | None) -> tuple[float, float, float]:
    """The CPU seconds so far of the worker, of the projecting process, and of the PostgreSQL servers."""
    served = sum(spent.seconds for spent in cpu_spent(os.getpid()).values() if spent.program == _DATABASE)
    return worker.spent(), project.spent() if project is not None else 0.0, served


def _hundredth(samples: list[float], which: int) -> float:
    return quantiles(samples, n=100)[which - 1]


def _peak_memory(pid: int) -> float:
    """The peak resident memory of a process, in MB."""
    found = _PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace"))
    return int(found[1]) * 1024 / 1_000_000 if found else float("nan")
