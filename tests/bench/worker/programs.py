"""The measured programs: how each is started, and what it prints when it consumes."""

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
    # More than the spans of a run: the measurement fails if a single one is lost.
    "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
    # Commands have no trace context, so the worker's sampler decides.
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program and its configuration.

    Attributes:
        command: Its command line.
        takes_prefetch: Whether the prefetch is appended to it.
        processes: The number of its processes.
        domain: The domain whose commands it decides.
        variables: Its environment, besides the addresses.
        books: The number of books that all commands concern; with 0, no commands conflict.
        traced: The share of the traces that must arrive: 1.0, or None for no check.
        exports: Whether it sends spans to the receiver.
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
