from typing import Any

import pytest

from tests.unit.worker.wire import Wire, delivery
from worker.counters import Counters, End


@pytest.mark.parametrize(
    ("headers", "poison"),
    [
        (None, False),
        ({}, False),
        ({"x-delivery-count": 0}, False),
        ({"x-delivery-count": 1}, False),
        ({"x-delivery-count": 2}, True),
        ({"x-delivery-count": 49}, True),
        ({"x-delivery-count": "many"}, False),
        ({"x-acquired-count": 7}, False),
        ({"worker-suspect": True, "x-delivery-count": 0}, True),
    ],
)
def test_what_was_handed_out_more_than_twice_may_be_poison(headers: dict[str, Any] | None, *, poison: bool) -> None:
    assert delivery(Wire().acks, Counters(), headers=headers, redelivered=True).may_be_poison is poison


def test_what_a_publisher_wrote_makes_no_poison() -> None:
    assert not delivery(Wire().acks, Counters(), headers={"x-delivery-count": 10**6}).may_be_poison


async def test_settling_twice_is_a_bug_that_shows() -> None:
    wire, counters = Wire(), Counters()
    one = delivery(wire.acks, counters)
    one.acknowledge(End.ACCEPTED)
    await wire.acks.flush()
    with pytest.raises(RuntimeError, match="settled before"):
        one.abandon()
    assert counters.balanced


async def test_what_is_settled_after_its_channel_is_gone_counts_as_lost() -> None:
    wire, counters = Wire(), Counters()
    before, at_once, returned = (delivery(wire.acks, counters, tag) for tag in (1, 2, 3))
    before.acknowledge(End.ACCEPTED)
    wire.is_closed = True
    at_once.acknowledge(End.ACCEPTED)
    await returned.give_back()
    await wire.acks.flush()
    assert (wire.frames, wire.returned) == ([], [])
    assert counters.ends == {End.LOST_CHANNEL: 3}
