"""Acknowledgements: one frame for consecutive settled deliveries, and never for an unsettled one."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.staged import others_come
from tests.unit.worker.wire import Wire, delivery
from worker.counters import Counters, End


async def test_consecutive_settled_deliveries_take_one_frame() -> None:
    wire, counters = Wire(), Counters()
    first, second, third = (delivery(wire.acks, counters, tag) for tag in (1, 2, 3))
    for each in (third, first, second):
        each.acknowledge(End.ACCEPTED)
    await wire.acks.flush()
    assert wire.frames == [(3, True)]
    assert counters.ends == {End.ACCEPTED: 3}


async def test_deliveries_beyond_a_gap_are_acknowledged_singly_and_at_once() -> None:
    wire, counters = Wire(), Counters()
    first, slow, third, fourth = (delivery(wire.acks, counters, tag) for tag in (1, 2, 3, 4))
    for each in (first, third, fourth):
        each.acknowledge(End.ACCEPTED)
    await wire.acks.flush()
    assert wire.frames == [(1, True), (3, False), (4, False)]
    slow.acknowledge(End.REJECTED)
    await wire.acks.flush()
    assert wire.frames[3:] == [(2, True)]


async def test_a_requeued_delivery_is_no_gap() -> None:
    wire, counters = Wire(), Counters()
    first, returned, third = (delivery(wire.acks, counters, tag) for tag in (1, 2, 3))
    await returned.give_back()
    first.acknowledge(End.ACCEPTED)
    third.acknowledge(End.ACCEPTED)
    await wire.acks.flush()
    assert (wire.returned, wire.frames) == ([2], [(3, True)])


async def test_a_delivery_of_a_closed_channel_is_never_acknowledged_on_the_next_one() -> None:
    counters = Counters()
    gone, now = Wire(), Wire()
    of_old = [delivery(gone.acks, counters, tag) for tag in range(1, 16)]
    undecided = [delivery(now.acks, counters, tag) for tag in range(1, 16)]
    gone.is_closed = True
    for each in of_old:
        each.acknowledge(End.ACCEPTED)
    await gone.acks.flush()
    assert now.frames == []
    assert not any(each.has_ended for each in undecided)
    assert counters.ends == {End.LOST_CHANNEL: 15}


@given(st.permutations(range(1, 9)), st.sets(st.integers(1, 8)), st.sets(st.integers(1, 8)))
async def test_no_delivery_is_acknowledged_before_it_is_settled(
    order: list[int], returned: set[int], flushed_after: set[int]
) -> None:
    wire, counters = Wire(), Counters()
    deliveries = {tag: delivery(wire.acks, counters, tag) for tag in range(1, 9)}
    done: set[int] = set()
    settled: set[int] = set()
    for step, tag in enumerate(order, start=1):
        if tag in returned:
            await deliveries[tag].give_back()
        else:
            deliveries[tag].acknowledge(End.ACCEPTED)
        done.add(tag)
        if step in flushed_after or step == len(order):
            await wire.acks.flush()
            frames, wire.frames = wire.frames, []
            for last, multiple in frames:
                covered = {each for each in range(1, last + 1) if each not in settled} if multiple else {last}
                assert covered <= done
                settled |= covered
            assert settled | returned >= done
    assert all(each.has_ended for each in deliveries.values())
    assert counters.balanced


async def test_a_frame_never_covers_an_acknowledgement_in_flight() -> None:
    # The broker closes a channel that acknowledges a tag twice, and redelivers all of its messages.
    wire, counters = SlowWire(), Counters()
    first, slow, third, fourth, last = (delivery(wire.acks, counters, tag) for tag in (1, 2, 3, 4, 5))
    for each in (first, third, fourth):
        each.acknowledge(End.ACCEPTED)
    await others_come()
    assert wire.frames == [(1, True)]
    for each in (slow, last):
        each.acknowledge(End.ACCEPTED)
    await others_come()
    wire.has_room.set()
    await wire.acks.flush()
    assert wire.known_twice() == set()
    assert all(each.has_ended for each in (first, slow, third, fourth, last))


class SlowWire(Wire):
    """A channel whose connection first blocks single frames."""

    def __init__(self) -> None:
        super().__init__()
        self.has_room = asyncio.Event()

    async def basic_ack(self, tag: int, *, multiple: bool = False, **_: Any) -> None:
        if self.frames and not multiple:
            await self.has_room.wait()
        await super().basic_ack(tag, multiple=multiple)

    def known_twice(self) -> set[int]:
        """The tags that were acknowledged more than once."""
        settled: set[int] = set()
        twice: set[int] = set()
        for last, multiple in self.frames:
            if last in settled:
                twice.add(last)
            settled |= set(range(1, last + 1)) if multiple else {last}
        return twice
