import asyncio
from typing import Any

import pytest

from tests.unit.worker.wire import Wire, delivery
from worker.amqp.intake import Intake
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
def test_a_message_delivered_more_than_twice_may_be_poison(headers: dict[str, Any] | None, *, poison: bool) -> None:
    assert delivery(Wire().acks, Counters(), headers=headers, redelivered=True).may_be_poison is poison


def test_a_publishers_header_does_not_make_a_message_poison() -> None:
    assert not delivery(Wire().acks, Counters(), headers={"x-delivery-count": 10**6}).may_be_poison


async def test_settling_twice_is_reported_as_a_bug() -> None:
    wire, counters = Wire(), Counters()
    one = delivery(wire.acks, counters)
    one.acknowledge(End.ACCEPTED)
    await wire.acks.flush()
    with pytest.raises(RuntimeError, match="settled before"):
        one.abandon()
    assert counters.balanced


async def test_a_delivery_settled_after_its_channel_was_closed_counts_as_lost() -> None:
    wire, counters = Wire(), Counters()
    before, at_once, returned = (delivery(wire.acks, counters, tag) for tag in (1, 2, 3))
    before.acknowledge(End.ACCEPTED)
    wire.is_closed = True
    at_once.acknowledge(End.ACCEPTED)
    await returned.give_back()
    await wire.acks.flush()
    assert (wire.frames, wire.returned) == ([], [])
    assert counters.ends == {End.LOST_CHANNEL: 3}


def test_a_delivery_has_its_shard_and_affinity_key() -> None:
    found = delivery(Wire().acks, Counters(), headers={"affinity-key": "tea"}, intake=Intake(3))
    assert (found.shard, found.affinity_key) == (3, "tea")
    without = delivery(Wire().acks, Counters())
    assert (without.shard, without.affinity_key) == (None, None)
    assert delivery(Wire().acks, Counters(), headers={"affinity-key": 5}).affinity_key is None


async def test_a_closing_channel_waits_for_begun_deliveries_and_its_close_requeues_the_rest() -> None:
    intake, wire = Intake(3), Wire()
    first, second = (delivery(wire.acks, Counters(), tag, intake=intake) for tag in (1, 2))
    intake.is_closing = True
    emptied = asyncio.ensure_future(intake.emptied())
    await first.give_back()
    assert not emptied.done()
    second.abandon()
    await emptied
    assert first.has_ended
    # No reject is sent: the broker would redeliver the message at once, to this consumer.
    assert (wire.frames, wire.returned) == ([], [])


async def test_no_acknowledgement_covers_deliveries_left_by_a_closing_channel() -> None:
    intake, wire = Intake(3), Wire()
    left, done = (delivery(wire.acks, Counters(), tag, intake=intake) for tag in (1, 2))
    intake.is_closing = True
    await left.give_back()
    done.acknowledge(End.ACCEPTED)
    await wire.acks.flush()
    assert wire.frames == [(2, False)]


async def test_an_abandoned_channel_waits_for_nothing() -> None:
    intake = Intake(3)
    delivery(Wire().acks, Counters(), intake=intake)
    intake.give_up()
    await intake.emptied()
    assert intake.is_closing
