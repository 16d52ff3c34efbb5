"""The run of the worker's part: every program in turn, round after round, on the same servers."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from tests.bench.figure import AGAIN, CPU, WORKER_KINDS, Figure, figures_of
from tests.bench.worker.course import Course
from tests.bench.worker.programs import PROGRAMS

__all__ = ["run"]

_CEILING = "consume_ack"
# Where all want one book, there are fewer commands: they are slower, and as telling.
_FEWER = 2
_MORE = 2


def run(*, repeat: int, count: int, progress: Callable[[str], None]) -> list[Figure]:
    """Measure the worker and what it is compared with.

    Args:
        repeat: How many rounds; each measures every figure once.
        count: How many commands a program is given.
        progress: Is told what is being done.

    Raises:
        BenchError: A program did not do what it should.
    """
    return asyncio.run(_run(repeat, count, progress))


async def _run(repeat: int, count: int, progress: Callable[[str], None]) -> list[Figure]:
    samples: dict[str, list[float]] = defaultdict(list)
    progress("worker: starting servers")
    books = repeat * sum(program.books for program in PROGRAMS.values())
    async with Course.open(books=books) as course:
        for number in range(1, repeat + 1):
            progress(f"worker: round {number} of {repeat}")
            ceiling = await course.consume_ack(count * _MORE)
            samples[_CEILING].append(ceiling.rate)
            samples[_CEILING + CPU].append(ceiling.cpu)
            for name, program in PROGRAMS.items():
                measured = await course.run(program, count // _FEWER if program.books else count)
                samples[name].append(measured.rate)
                samples[name + CPU].append(measured.cpu)
                if name + AGAIN in WORKER_KINDS:
                    samples[name + AGAIN].append(measured.again)
    return figures_of(dict(sorted(samples.items(), key=lambda one: one[0].endswith((CPU, AGAIN)))))
