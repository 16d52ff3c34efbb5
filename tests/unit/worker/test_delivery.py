from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.amqp.connection import WireChannel
from worker.amqp.delivery import Delivery
from worker.counters import Counters


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
    assert delivery(headers, redelivered=True).may_be_poison is poison


def test_what_a_publisher_wrote_makes_no_poison() -> None:
    assert not delivery({"x-delivery-count": 10**6}, redelivered=False).may_be_poison


def delivery(headers: dict[str, Any] | None, *, redelivered: bool) -> Delivery:
    properties = SimpleNamespace(headers=headers)
    message = SimpleNamespace(
        body=b"{}", delivery_tag=1, redelivered=redelivered, header=SimpleNamespace(properties=properties)
    )
    return Delivery(cast("WireChannel", SimpleNamespace(is_closed=False)), cast("Any", message), Counters())
