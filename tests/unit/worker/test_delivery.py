from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.amqp.connection import WireChannel
from worker.amqp.delivery import Delivery
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


def delivery(headers: dict[str, Any] | None, *, redelivered: bool) -> Delivery:
    properties = SimpleNamespace(headers=headers)
    message = SimpleNamespace(
        body=b"{}", delivery_tag=1, redelivered=redelivered, header=SimpleNamespace(properties=properties)
    )
    return Delivery(cast("WireChannel", SimpleNamespace(is_closed=False)), cast("Any", message), Counters())
