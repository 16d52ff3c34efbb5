import asyncio

import pytest

from eventstore import Filter, MemoryEventStore, P
from worker.rounds.lanes import Lanes


def of(first: str, *others: str) -> Filter:
    return Filter.matching().any_predicate_of(P("Key", first), *(P("Key", other) for other in others))


TYPES = Filter.matching().any_event_type_of("Counted")


class Visit:
    """Takes a turn, notes it, and keeps it until told."""

    def __init__(self, lanes: Lanes, boundary: Filter, log: list[str], name: str) -> None:
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._visit(lanes, boundary, log, name))

    async def _visit(self, lanes: Lanes, boundary: Filter, log: list[str], name: str) -> None:
        with await lanes.turn([boundary], lanes.ticket()):
            log.append(name)
            await self.leave.wait()


def made() -> Lanes:
    return Lanes(MemoryEventStore())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_shares_a_predicate_waits_and_others_pass() -> None:
    lanes, log = made(), list[str]()
    first = Visit(lanes, of("x", "y"), log, "first")
    second = Visit(lanes, of("y", "z"), log, "second")
    third = Visit(lanes, of("z"), log, "third")
    apart = Visit(lanes, of("a"), log, "apart")
    await settle()
    # Nobody waits for z but the second, and yet the third must not be decided before it.
    assert log == ["first", "apart"]
    first.leave.set()
    await settle()
    # Those that waited have their turn together, in the order in which they came.
    assert log == ["first", "apart", "second", "third"]
    for visit in (second, third, apart):
        visit.leave.set()
        await visit.task
    assert len(lanes) == 0


async def test_boundaries_by_type_alone_share_a_lane_whatever_the_type() -> None:
    lanes, log = made(), list[str]()
    other = Filter.matching().any_event_type_of("Forgotten").or_matching().any_predicate_of(P("Key", "a"))
    visits = [Visit(lanes, boundary, log, str(number)) for number, boundary in enumerate((TYPES, other, TYPES))]
    await settle()
    assert log == ["0"]
    for visit in visits:
        visit.leave.set()
    await asyncio.gather(*(visit.task for visit in visits))
    assert log == ["0", "1", "2"]


async def test_a_lane_is_free_when_all_of_a_group_have_left() -> None:
    lanes, log = made(), list[str]()
    first = Visit(lanes, of("x"), log, "first")
    pair = [Visit(lanes, of("x"), log, name) for name in ("second", "third")]
    await settle()
    first.leave.set()
    await settle()
    late = Visit(lanes, of("x"), log, "late")
    pair[0].leave.set()
    await settle()
    assert log == ["first", "second", "third"]
    pair[1].leave.set()
    await settle()
    assert log == ["first", "second", "third", "late"]
    late.leave.set()
    await late.task
    assert len(lanes) == 0


async def test_a_boundary_takes_the_lanes_of_all_its_parts() -> None:
    lanes, log = made(), list[str]()
    with await lanes.turn([of("x"), TYPES], lanes.ticket()):
        visits = [Visit(lanes, boundary, log, name) for name, boundary in (("x", of("x")), ("y", of("y")))]
        visits.append(Visit(lanes, TYPES, log, "types"))
        await settle()
        assert log == ["y"]
    for visit in visits:
        visit.leave.set()
        await visit.task
    assert log == ["y", "x", "types"]


async def test_who_comes_again_with_an_earlier_ticket_goes_first() -> None:
    lanes, log = made(), list[str]()
    ticket = lanes.ticket()
    first = Visit(lanes, of("x"), log, "first")
    await settle()
    later = Visit(lanes, of("x"), log, "later")
    await settle()

    async def again() -> None:
        with await lanes.turn([of("x")], ticket):
            log.append("again")

    coming_again = asyncio.create_task(again())
    await settle()
    first.leave.set()
    later.leave.set()
    await asyncio.gather(first.task, later.task, coming_again)
    assert log == ["first", "again", "later"]


async def test_a_group_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.rounds.lanes._LARGEST_GROUP", 3)
    lanes, log = made(), list[str]()
    first = Visit(lanes, of("x"), log, "first")
    # A company of two, one of one, and one that would join both.
    others = [
        Visit(lanes, boundary, log, str(n)) for n, boundary in enumerate((of("x"), of("x"), of("y", "x"), of("x")))
    ]
    await settle()
    first.leave.set()
    await settle()
    assert log == ["first", "0", "1", "2"]
    for visit in others:
        visit.leave.set()
        await settle()
    assert log == ["first", "0", "1", "2", "3"]
    await asyncio.gather(*(visit.task for visit in others))
    assert len(lanes) == 0


async def test_nobody_waits_in_a_circle() -> None:
    lanes, log = made(), list[str]()
    boundaries = [of("x", "y"), of("y", "x"), of("y", "z"), of("z", "x")] * 10
    visits = [Visit(lanes, boundary, log, str(number)) for number, boundary in enumerate(boundaries)]
    for visit in visits:
        visit.leave.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*(visit.task for visit in visits))
    assert len(log) == 40
    assert len(lanes) == 0


async def test_who_gives_up_lets_the_next_one_pass() -> None:
    lanes, log = made(), list[str]()
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


async def test_who_is_cancelled_just_as_its_turn_comes_gives_it_up() -> None:
    lanes, log = made(), list[str]()
    first = Visit(lanes, of("x"), log, "first")
    second = Visit(lanes, of("x"), log, "second")
    await settle()
    first.leave.set()
    first.task.add_done_callback(lambda _: second.task.cancel())
    await asyncio.gather(first.task, second.task, return_exceptions=True)
    await settle()
    assert second.task.cancelled()
    assert log == ["first"]
    assert len(lanes) == 0
