"""The programs that are measured: how each is started, and how it says that it consumes."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from handlers import library
from handlers.domain import Domain
from tests.bench.worker import affine

__all__ = ["CONSUME_ACK", "PROGRAMS", "Program"]

CONSUME_ACK = (sys.executable, "-m", "tests.bench.worker.consume_ack")
"""What only consumes and acknowledges; it takes a queue, a prefetch and a number of deliveries."""

_WORKER = (sys.executable, "-m", "worker", "run")
_SINGLE = (sys.executable, "-m", "tests.bench.worker.single")
_TRACED = {
    "OTEL_TRACES_EXPORTER": "otlp",
    # More than a run makes: the measurement fails if a single span is lost.
    "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
    # Commands come without a trace, so it is the worker's sampler that decides.
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program with what it is given.

    Attributes:
        command: Its command line.
        takes_prefetch: Whether the prefetch is to be added to it.
        processes: How many processes it shares the work among.
        domain: Whose commands it is given.
        variables: Its environment, besides the addresses.
        books: How many books all commands want; with none, no command meets another.
        traced: The share of the traces that must arrive: 1.0, or None for whatever comes.
        exports: Whether it sends anything to the receiver.
    """

    command: tuple[str, ...] = _WORKER
    takes_prefetch: bool = False
    processes: int = 1
    domain: Domain = library.domain
    variables: Mapping[str, str] = field(default_factory=dict)
    books: int = 0
    traced: float | None = None
    exports: bool = False


PROGRAMS = {
    "worker_e2e_untraced": Program(),
    "worker_e2e_traced_5": Program(variables={**_TRACED, "OTEL_TRACES_SAMPLER_ARG": "0.05"}, exports=True),
    "worker_e2e_traced_100": Program(variables={**_TRACED, "OTEL_TRACES_SAMPLER_ARG": "1.0"}, exports=True, traced=1.0),
    "worker_e2e_2": Program(command=(*_WORKER, "--processes", "2"), processes=2),
    "hot_book": Program(books=1),
    "single.hot_book": Program(command=_SINGLE, takes_prefetch=True, books=1),
    "hot_book_4": Program(command=(*_WORKER, "--processes", "4"), processes=4, books=1),
    "hot_books_affinity_4": Program(
        command=(*_WORKER, "--processes", "4"),
        processes=4,
        domain=affine.domain,
        variables={"WORKER_DOMAINS": "tests.bench.worker.affine:domain"},
        books=4,
    ),
}
"""By the name of the figure, in the order in which they are measured."""
