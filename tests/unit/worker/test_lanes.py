import asyncio

import pytest

from eventstore import Filter, P
from worker.lanes import Lanes


def of(first: str, *others: str) -> Filter:
    return Filter.matching().any_predicate_of(P("Key", first), *(P("Key", other) for other in others))


TYPES = Filter.matching().any_event_type_of("Counted")


class Visit:
    """Takes a turn, notes it, and keeps it until told."""

    def __init__(self, lanes: Lanes, boundary: Filter, log: list[str], name: str) -> None:
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._visit(lanes, boundary, log, name))

    async def _visit(self, lanes: Lanes, boundary: Filter, log: list[str], name: str) -> None:
        async with lanes.turn(boundary):
            log.append(name)
            await self.leave.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_shares_a_predicate_waits_in_order_and_others_pass() -> None:
    lanes, log = Lanes(), list[str]()
    first = Visit(lanes, of("x", "y"), log, "first")
    second = Visit(lanes, of("y", "z"), log, "second")
    third = Visit(lanes, of("z"), log, "third")
    apart = Visit(lanes, of("a"), log, "apart")
    await settle()
    # The second has no lane yet: it waits for y before it would take z.
    assert log == ["first", "third", "apart"]
    first.leave.set()
    await settle()
    assert log == ["first", "third", "apart"]
    third.leave.set()
    await settle()
    assert log == ["first", "third", "apart", "second"]
    second.leave.set()
    apart.leave.set()
    await asyncio.gather(*(visit.task for visit in (first, second, third, apart)))
    assert len(lanes) == 0


async def test_boundaries_by_type_alone_share_a_lane_whatever_the_type() -> None:
    lanes, log = Lanes(), list[str]()
    other = Filter.matching().any_event_type_of("Forgotten").or_matching().any_predicate_of(P("Key", "a"))
    visits = [Visit(lanes, boundary, log, str(number)) for number, boundary in enumerate((TYPES, other, TYPES))]
    await settle()
    assert log == ["0"]
    for visit in visits:
        visit.leave.set()
    await asyncio.gather(*(visit.task for visit in visits))
    assert log == ["0", "1", "2"]


async def test_nobody_waits_in_a_circle() -> None:
    lanes, log = Lanes(), list[str]()
    boundaries = [of("x", "y"), of("y", "x"), of("y", "z"), of("z", "x")] * 10
    visits = [Visit(lanes, boundary, log, str(number)) for number, boundary in enumerate(boundaries)]
    for visit in visits:
        visit.leave.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*(visit.task for visit in visits))
    assert len(log) == 40
    assert len(lanes) == 0


async def test_who_gives_up_lets_the_next_one_pass() -> None:
    lanes, log = Lanes(), list[str]()
    first = Visit(lanes, of("x"), log, "first")
    second = Visit(lanes, of("w", "x"), log, "second")
    third = Visit(lanes, of("w"), log, "third")
    await settle()
    assert log == ["first"]
    second.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second.task
    await settle()
    assert log == ["first", "third"]
    for visit in (first, third):
        visit.leave.set()
        await visit.task
    assert len(lanes) == 0
