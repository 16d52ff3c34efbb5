"""The runner, with publishers whose answers the test controls."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

import pytest

from eventstore import Position
from handlers import Command, Workload
from tests.support.domains.tally import Count, domain
from tests.support.fixtures.waiting import eventually
from tests.unit.load.bells import Ring, bells
from worker.errors import NoReply
from worker.load.runner import Pace, Runner
from worker.message import Reply
from worker.publisher import Publisher


class Silent:
    """Accepts every command, and answers only when the test lets it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.under_way = 0
        self.most = 0
        self.taken: Counter[UUID] = Counter()
        self.overdue = False
        self.addressed: Counter[tuple[str, str]] = Counter()

    async def request(self, domain: str, name: str, *_: Any, command_id: UUID, **__: Any) -> Reply:
        self.asked.set()
        self.addressed[domain, name] += 1
        self.taken[command_id] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.open.wait()
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.overdue:
            raise NoReply("too late")
        position = Position(number=self.taken.total(), token=1)
        duplicate = self.taken[command_id] > 1
        return Reply(command_id=command_id, outcome="accepted", position=position, duplicate=duplicate)


def load(commands: int, *, copied_at_once: float = 0.0, copied_later: float = 0.0) -> Workload:
    return Workload(
        setup=(),
        load=(Count(key=str(number)) for number in range(commands)),
        copied_at_once=copied_at_once,
        copied_later=copied_later,
    )


def runner(publisher: Silent, copier: Silent, pace: Pace) -> Runner:
    return Runner(
        cast("Publisher", publisher),
        cast("Publisher", copier),
        (domain,),
        pace=pace,
        rng=random.Random(1),  # noqa: S311  not cryptographic
    )


async def test_a_cancelled_run_leaves_no_copies_unsent() -> None:
    publisher, copier = Silent(), Silent()
    run = asyncio.create_task(runner(publisher, copier, Pace()).load(load(1, copied_at_once=1.0), total=1))
    await asyncio.gather(publisher.asked.wait(), copier.asked.wait())
    run.cancel()
    await asyncio.wait({run})
    assert run.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closed_load_keeps_a_fixed_number_of_commands_in_flight() -> None:
    publisher, copier = Silent(), Silent()
    publisher.open.set()
    made = runner(publisher, copier, Pace(in_flight=7))
    await made.load(load(50), total=50)
    assert publisher.most == 7
    assert (made.tally.answered, made.tally.messages, made.tally.copies) == (50, 50, 0)
    assert made.tally.outcomes == {("accepted", ""): 50}
    assert set(made.tally.answers) == set(made.tally.commands) == set(publisher.taken)


class Stuck(Silent):
    """Answers the counting domain, and never the other one."""

    async def request(self, domain: str, name: str, *_: Any, command_id: UUID, **__: Any) -> Reply:
        if domain == bells.name:
            self.addressed[domain, name] += 1
            await asyncio.Future()
        return await super().request(domain, name, command_id=command_id)


async def test_a_stuck_domain_does_not_delay_the_commands_of_another() -> None:
    publisher = Stuck()
    publisher.open.set()
    made = Runner(
        cast("Publisher", publisher),
        cast("Publisher", Silent()),
        (domain, bells),
        pace=Pace(in_flight=5),
        rng=random.Random(1),  # noqa: S311  not cryptographic
    )
    both = [command for number in range(40) for command in (Ring(key=str(number)), Count(key=str(number)))]
    run = asyncio.create_task(made.load(Workload(setup=(), load=both), total=80))

    async def are_answered() -> bool:
        return made.tally.answered == 40

    await eventually(are_answered, what="the answers of the domain that is not stuck")
    assert publisher.most == 3
    assert publisher.addressed == {("tally", "Count"): 40, ("bells", "Ring"): 2}
    run.cancel()
    await asyncio.wait({run})


async def test_open_load_sends_without_waiting_for_answers() -> None:
    publisher, copier = Silent(), Silent()
    made = runner(publisher, copier, Pace(rate=100_000))
    run = asyncio.create_task(made.load(load(300), total=300))
    while publisher.under_way < 300:  # noqa: ASYNC110  the runner's tasks change it; there is no event to await
        await asyncio.sleep(0)
    publisher.open.set()
    await run
    assert made.tally.answered == 300


async def test_open_load_measures_latency_from_the_due_time() -> None:
    """A delay before sending is part of the latency, or a stall would look short."""
    publisher, copier = Silent(), Silent()
    publisher.open.set()

    def stalling() -> Iterator[Command]:
        yield Count(key="a")
        # The event loop is blocked while ten more commands become due.
        ends = asyncio.get_running_loop().time() + 0.1
        while asyncio.get_running_loop().time() < ends:
            pass
        for number in range(10):
            yield Count(key=str(number))

    made = runner(publisher, copier, Pace(rate=1000))
    await made.load(Workload(setup=(), load=stalling()), total=11)
    # The second was due after 1 ms, the last one after 10 ms; each was sent after 100 ms at the earliest.
    assert min(sorted(made.tally.latencies)[1:]) >= 0.1 - 0.010 - 0.001


async def test_a_duration_ends_the_load_and_the_total_is_the_number_sent() -> None:
    publisher, copier = Silent(), Silent()
    publisher.open.set()
    made = runner(publisher, copier, Pace(in_flight=2, duration=0.05))
    await made.load(load(10_000_000), total=10_000_000)
    assert 0 < made.tally.total == made.tally.answered < 10_000_000


async def test_open_load_ends_with_its_duration() -> None:
    publisher, copier = Silent(), Silent()
    publisher.open.set()
    made = runner(publisher, copier, Pace(rate=1000, duration=0.05))
    await made.load(load(1000), total=1000)
    assert made.tally.total == made.tally.answered == 50


async def test_copies_are_sent_at_once_and_later_with_the_same_id() -> None:
    publisher, copier = Silent(), Silent()
    made = runner(publisher, copier, Pace(in_flight=3))
    run = asyncio.create_task(made.load(load(3, copied_at_once=1.0, copied_later=1.0), total=3))
    while not publisher.under_way == copier.under_way == 3:  # noqa: ASYNC110  the runner's tasks change it; there is no event to await
        await asyncio.sleep(0)
    publisher.open.set()
    copier.open.set()
    await run
    assert set(publisher.taken.values()) == {1}
    assert set(copier.taken.values()) == {2}
    assert (made.tally.messages, made.tally.copies, made.tally.answered) == (9, 6, 3)


async def test_the_set_up_is_not_measured() -> None:
    publisher, copier = Silent(), Silent()
    publisher.open.set()
    made = runner(publisher, copier, Pace(rate=10.0))
    await made.set_up(Count(key=str(number)) for number in range(5))
    assert made.tally.setup == set(made.tally.commands)
    assert (len(made.tally.setup), made.tally.answered, made.tally.seconds) == (5, 0, 0.0)


@pytest.mark.parametrize("rate", [None, 1000.0])
async def test_a_missing_answer_is_counted(rate: float | None) -> None:
    publisher, copier = Silent(), Silent()
    publisher.overdue = True
    publisher.open.set()
    made = runner(publisher, copier, Pace(rate=rate))
    await made.load(load(4), total=4)
    assert (made.tally.answered, made.tally.unanswered, made.tally.total) == (0, 4, 4)


async def test_each_command_is_sent_to_its_domain() -> None:
    publisher, copier = Silent(), Silent()
    publisher.open.set()
    made = Runner(
        cast("Publisher", publisher),
        cast("Publisher", copier),
        (domain, bells),
        pace=Pace(),
        rng=random.Random(1),  # noqa: S311  not cryptographic
    )
    await made.load(Workload(setup=(), load=[Count(key="a"), Ring(key="a"), Ring(key="b")]), total=3)
    assert publisher.addressed == {("tally", "Count"): 1, ("bells", "Ring"): 2}


async def test_the_workload_gets_the_positions_of_answers() -> None:
    publisher, copier = Silent(), Silent()
    publisher.open.set()
    heard: list[int] = []

    def listening() -> Iterator[Command]:
        for _ in range(3):
            yield Count(key=str(heard))

    workload = Workload(setup=(), load=listening(), answered=lambda number, _: heard.append(number))
    made = runner(publisher, copier, Pace(in_flight=1))
    await made.load(workload, total=3)
    assert heard == [1, 2, 3]
    assert [str(command) for command in made.tally.commands.values()] == [
        str(Count(key=key)) for key in ("[]", "[1]", "[1, 2]")
    ]
