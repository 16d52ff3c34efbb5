"""The part about the oracle: its CPU time and memory for commands that all read one product."""

import asyncio
import multiprocessing
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from time import process_time
from uuid import UUID, uuid4

from eventstore import MemoryEventStore, Outcome, OutcomeKind
from handlers.decision import Accepted, Decision, Unchanged
from handlers.model import Command
from handlers.warehouse import domain
from handlers.warehouse.events import PiecesReceived, PiecesReserved
from handlers.warehouse.receive_pieces import ReceivePieces
from handlers.warehouse.reserve_pieces import ReservePieces
from handlers.warehouse.scenarios.new_orders import NewOrders
from tests.bench.figure import Figure, figures_of
from tests.bench.memory import growth
from tests.bench.process import BenchError
from worker.load.oracle import judge

__all__ = ["run"]


def run(sizes: Sequence[int], *, repeat: int, progress: Callable[[str], None]) -> list[Figure]:
    """Measure the oracle.

    Args:
        sizes: The numbers of commands, each measured separately.
        repeat: The number of rounds; each measures every size once.
        progress: Called with a description of each step.

    Raises:
        BenchError: The oracle finds an error in a correct log.
    """
    samples: dict[str, list[float]] = defaultdict(list)
    spawning = multiprocessing.get_context("spawn")
    for number in range(1, repeat + 1):
        for size in sizes:
            progress(f"oracle: {size:,} commands, round {number} of {repeat}")
            # A new process: no memory is left over from the size before.
            with ProcessPoolExecutor(1, mp_context=spawning) as process:
                seconds, megabytes = process.submit(_measure, size).result()
            samples[f"oracle_{size}"].append(seconds)
            samples[f"oracle_{size}_memory"].append(megabytes)
    return figures_of(dict(sorted(samples.items(), key=lambda one: one[0].endswith("_memory"))))


def _measure(size: int) -> tuple[float, float]:
    return asyncio.run(_judged(size))


async def _judged(size: int) -> tuple[float, float]:
    store, commands = await _log(size)
    seconds = 0.0

    async def judged() -> None:
        nonlocal seconds
        began = process_time()
        report = await judge(store, domain, commands)
        seconds = process_time() - began
        if not report.clean:
            raise BenchError(str(report.violations[0]))

    megabytes = await growth(judged())
    return seconds, megabytes


async def _log(size: int) -> tuple[MemoryEventStore, dict[UUID, Command]]:
    """Return a correct log of ``size`` commands, and the commands."""
    store, commands, reserved = MemoryEventStore(), dict[UUID, Command](), set[str]()
    scenario = NewOrders(history=1, products=1, first_share=1.0)
    workload = scenario.workload(random.Random(1), size)  # noqa: S311  not cryptographic
    for command in [*workload.setup, *workload.load]:
        key = uuid4()
        commands[key] = command
        decision = _decided(command, reserved)
        facts = decision.events if isinstance(decision, Accepted) else ()
        kind = OutcomeKind.ACCEPTED if facts else OutcomeKind.UNCHANGED
        await store.append(
            [domain.to_record(fact, {"command_id": str(key)}) for fact in facts],
            key=key,
            outcome=Outcome(kind=kind, details={"domain": domain.name}),
        )
    return store, commands


def _decided(command: Command, reserved: set[str]) -> Decision:
    if isinstance(command, ReceivePieces):
        return Accepted(events=(PiecesReceived(**command.model_dump()),))
    if not isinstance(command, ReservePieces) or command.order in reserved:
        return Unchanged()
    reserved.add(command.order)
    return Accepted(events=(PiecesReserved(**command.model_dump()),))
