"""The run: our store alone, then servers and processes for every other subject, in rounds.

On a machine with other servers, even idle ones, a single caller is answered up to four times as fast, since the CPU
does not enter a sleep state between round trips. So our single-caller figures are measured before the others start.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec

from tests.bench.figure import KINDS, Figure, figures_of
from tests.bench.process import SubjectProcess, contender
from tests.bench.subject import Address, Contender

__all__ = ["BASELINES", "DRIVERS", "OURS", "PEERS", "present", "run", "size_for"]

OURS = "ours"
DRIVERS = ("psycopg", "sqlalchemy")
BASELINES = ("single", "cte")
PEERS = ("eventsourcing", "umadb")
# Once per run: neither depends on the machine's load.
_SCAN = "read_1000000_memory"
_RACES = "violations_16"
# Durations of single callers, in several short passes per round: compared figures are measured close together.
_SHORT = [name for name, kind in KINDS.items() if kind.unit == "ms"]
_LONG = [name for name in KINDS if name not in {*_SHORT, _SCAN, _RACES}]
_PASSES = 4
_LOADED_AT_A_TIME = 2


def present() -> list[str]:
    """Return the peers that are installed."""
    return [peer for peer in PEERS if find_spec(peer) is not None]


def size_for(name: str, size: int) -> int:
    """The number of events that a subject is loaded with: as many as ours, or a tenth if those would take too long."""
    return size if size <= contender(name).affordable else size // 10


def run(
    names: Sequence[str], *, size: int, repeat: int, seconds: float, progress: Callable[[str], None]
) -> list[Figure]:
    """Measure subjects.

    Args:
        names: The subjects, as ``contender`` finds them.
        size: The number of events that each is loaded with.
        repeat: The number of rounds; each measures every figure of every subject, one at a time, except our
        single-caller figures, which have as many rounds before any other server starts.
        seconds: The approximate duration of one measurement.
        progress: Called with a description of each step.

    Returns:
        The figures, in the order of ``KINDS``.

    Raises:
        BenchError: A measurement failed. All servers have been stopped, as always.
    """
    own, others = [name for name in names if name == OURS], [name for name in names if name != OURS]
    with ExitStack() as closing:
        measured = _Run({name: contender(name) for name in names}, size, progress, closing)
        measured.start(own)
        for number in range(1, repeat + 1):
            progress(f"round {number} of {repeat}, one caller of ours")
            measured.short(own, seconds)
        measured.start(others)
        for number in range(1, repeat + 1):
            progress(f"round {number} of {repeat}")
            measured.short(others, seconds)
            measured.long(seconds)
        measured.race()
        samples = measured.samples
    ordered = {full: samples[full] for kind in KINDS for name in names if (full := _full(name, kind)) in samples}
    return figures_of(ordered)


class _Run:
    """Samples by full name, and the processes that take them."""

    def __init__(
        self, contenders: Mapping[str, Contender], size: int, progress: Callable[[str], None], closing: ExitStack
    ) -> None:
        self.samples: dict[str, list[float]] = defaultdict(list)
        self._contenders = contenders
        self._sizes = {name: size_for(name, size) for name in contenders}
        self._progress = progress
        self._closing = closing
        self._addresses: dict[str, Address] = {}
        self._processes: dict[str, SubjectProcess] = {}

    def start(self, names: Sequence[str]) -> None:
        """Start subjects' servers, fill them, and open the subjects."""
        for name in names:
            self._progress(f"{name}: starting its server")
            self._addresses[name] = self._closing.enter_context(self._contenders[name].serve())
        with ThreadPoolExecutor(_LOADED_AT_A_TIME) as threads:
            list(threads.map(self._load, names))
        for name in names:
            self._scan(name)
            self._processes[name] = self._closing.enter_context(self._process(name))

    def short(self, names: Sequence[str], seconds: float) -> None:
        """Measure the single-caller figures."""
        for _ in range(_PASSES):
            for name in names:
                for kind in _SHORT:
                    self._measure(name, self._processes[name], kind, seconds / _PASSES)

    def long(self, seconds: float) -> None:
        """Measure the figures of many callers."""
        for kind in _LONG:
            for name, process in self._processes.items():
                self._measure(name, process, kind, seconds)

    def race(self) -> None:
        for name, process in self._processes.items():
            self._progress(f"{name}: races")
            self._measure(name, process, _RACES, 0.0)

    def _scan(self, name: str) -> None:
        # In its own process: only the growth by this measurement is seen, and no memory is left for the next.
        if _SCAN in self._contenders[name].figures:
            self._progress(f"{name}: reading all of them")
            with self._process(name) as process:
                self._measure(name, process, _SCAN, 0.0)

    def _load(self, name: str) -> None:
        self._progress(f"{name}: loading {self._sizes[name]:,} events")
        asyncio.run(_await(self._contenders[name].load(self._addresses[name], self._sizes[name])))

    def _process(self, name: str) -> SubjectProcess:
        return SubjectProcess(name, self._addresses[name], self._sizes[name])

    def _measure(self, name: str, process: SubjectProcess, kind: str, seconds: float) -> None:
        if kind in self._contenders[name].figures:
            self.samples[_full(name, kind)].append(process.measure(kind, seconds))


async def _await(work: Awaitable[None]) -> None:
    await work


def _full(name: str, kind: str) -> str:
    return kind if name == OURS else f"{name}.{kind}"
