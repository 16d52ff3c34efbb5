"""The run of the part about the worker: every program in turn, in rounds, on the same servers."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from tests.bench.figure import AGAIN, CPU, WORKER_KINDS, Figure, figures_of
from tests.bench.worker.programs import PROGRAMS
from tests.bench.worker.timed_runs import TimedRuns

__all__ = ["run"]

_CEILING = "consume_ack"
# Fewer commands if all concern one book: they are slower, and fewer suffice.
_FEWER = 2
_MORE = 2


def run(*, repeat: int, count: int, progress: Callable[[str], None]) -> list[Figure]:
    """Measure the worker and the programs that it is compared with.

    Args:
        repeat: The number of rounds; each measures every figure once.
        count: The number of commands per program.
        progress: Called with a description of each step.

    Raises:
        BenchError: A program failed.
    """
    return asyncio.run(_run(repeat, count, progress))


async def _run(repeat: int, count: int, progress: Callable[[str], None]) -> list[Figure]:
    samples: dict[str, list[float]] = defaultdict(list)
    progress("worker: starting servers")
    books = repeat * sum(program.books for program in PROGRAMS.values())
    async with TimedRuns.open(books=books) as runs:
        for number in range(1, repeat + 1):
            progress(f"worker: round {number} of {repeat}")
            ceiling = await runs.consume_ack(count * _MORE)
            samples[_CEILING].append(ceiling.rate)
            samples[_CEILING + CPU].append(ceiling.cpu)
            for name, program in PROGRAMS.items():
                measured = await runs.run(program, count // _FEWER if program.books else count)
                samples[name].append(measured.rate)
                samples[name + CPU].append(measured.cpu)
                if name + AGAIN in WORKER_KINDS:
                    samples[name + AGAIN].append(measured.again)
    return figures_of(dict(sorted(samples.items(), key=lambda one: one[0].endswith((CPU, AGAIN)))))
