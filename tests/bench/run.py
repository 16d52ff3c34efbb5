"""The run: servers and processes for every subject, then round after round of measurements, one at a time."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec

from tests.bench.figure import KINDS, Figure, figures_of
from tests.bench.process import SubjectProcess, contender

__all__ = ["BASELINES", "OURS", "PEERS", "present", "run", "size_for"]

OURS = "ours"
BASELINES = ("single", "cte")
PEERS = ("eventsourcing", "umadb")
# Counted or measured once: they are no durations, and take long.
_ONCE = ("read_1000000_memory", "violations_16")


def present() -> list[str]:
    """Return the peers that are installed."""
    return [peer for peer in PEERS if find_spec(peer) is not None]


def size_for(name: str, size: int) -> int:
    """How many events a subject is loaded with: as many as ours, or a tenth where those would take too long."""
    return size if size <= contender(name).affordable else size // 10


def run(
    names: Sequence[str], *, size: int, repeat: int, seconds: float, progress: Callable[[str], None]
) -> list[Figure]:
    """Measure subjects.

    Args:
        names: The subjects, as ``contender`` finds them.
        size: How many events each is loaded with.
        repeat: How many rounds. In each, every figure of every subject is measured, figure by figure, so that those
            that are compared lie close together.
        seconds: About how long one measurement takes.
        progress: Is told what is being done.

    Returns:
        The figures, in the order of ``KINDS``.

    Raises:
        BenchError: A measurement failed. As in any other case, all servers are gone.
    """
    samples: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as closing:
        processes: dict[str, SubjectProcess] = {}
        for name in names:
            progress(f"{name}: loading {size_for(name, size)} events")
            address = closing.enter_context(contender(name).serve())
            with SubjectProcess(name, address, size_for(name, size)) as loading:
                loading.load()
            processes[name] = closing.enter_context(SubjectProcess(name, address, size_for(name, size)))
            if "read_1000000_memory" in contender(name).figures:
                progress(f"{name}: reading all of them")
                with SubjectProcess(name, address, size_for(name, size)) as reading:
                    samples[_full(name, "read_1000000_memory")].append(reading.measure("read_1000000_memory", seconds))
        for number in range(1, repeat + 1):
            progress(f"round {number} of {repeat}")
            for kind in KINDS:
                for name in names:
                    if kind in contender(name).figures and kind not in _ONCE:
                        samples[_full(name, kind)].append(processes[name].measure(kind, seconds))
        progress("races")
        for name in names:
            if "violations_16" in contender(name).figures:
                samples[_full(name, "violations_16")].append(processes[name].measure("violations_16", seconds))
    ordered = {_full(name, kind): samples[_full(name, kind)] for kind in KINDS for name in names}
    return figures_of({name: values for name, values in ordered.items() if values})


def _full(name: str, kind: str) -> str:
    return kind if name == OURS else f"{name}.{kind}"
