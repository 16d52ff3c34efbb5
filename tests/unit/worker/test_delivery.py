import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.amqp.connection import WireChannel
from worker.amqp.delivery import Delivery
from worker.amqp.intake import Intake
from worker.counters import Counters


@pytest.mark.parametrize(
    ("headers", "suspect"),
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
def test_what_was_handed_out_more_than_twice_is_a_suspect(headers: dict[str, Any] | None, *, suspect: bool) -> None:
    assert delivery(headers, redelivered=True).is_suspect is suspect


def test_nobody_becomes_a_suspect_by_what_its_publisher_wrote() -> None:
    assert not delivery({"x-delivery-count": 10**6}, redelivered=False).is_suspect


def test_a_delivery_says_which_shard_and_which_key_it_came_by() -> None:
    found = delivery({"affinity-key": "tea"}, redelivered=False, intake=Intake(3))
    assert (found.shard, found.affinity_key) == (3, "tea")
    assert (delivery(None, redelivered=False).shard, delivery(None, redelivered=False).affinity_key) == (None, None)
    assert delivery({"affinity-key": 5}, redelivered=False).affinity_key is None


async def test_a_channel_that_closes_waits_for_what_it_has_handed_out_and_puts_back_the_rest_by_its_close() -> None:
    intake = Intake(3)
    # Nothing is sent to the broker: it would hand the message out again at once, to us.
    first, second = (delivery(None, redelivered=False, intake=intake) for _ in range(2))
    intake.is_closing = True
    emptied = asyncio.ensure_future(intake.emptied())
    await first.give_back()
    assert not emptied.done()
    second.abandon()
    await emptied
    assert first.has_ended


async def test_a_channel_that_is_given_up_waits_for_nothing() -> None:
    intake = Intake(3)
    delivery(None, redelivered=False, intake=intake)
    intake.give_up()
    await intake.emptied()
    assert intake.is_closing


def delivery(headers: dict[str, Any] | None, *, redelivered: bool, intake: Intake | None = None) -> Delivery:
    properties = SimpleNamespace(headers=headers)
    message = SimpleNamespace(
        body=b"{}", delivery_tag=1, redelivered=redelivered, header=SimpleNamespace(properties=properties)
    )
    wire = cast("WireChannel", SimpleNamespace(is_closed=False))
    return Delivery(wire, cast("Any", message), Counters(), intake)
