"""A channel that records its calls, and deliveries on it."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from worker.amqp.acknowledgements import Acknowledgements
from worker.amqp.connection import WireChannel
from worker.amqp.delivery import Delivery
from worker.amqp.delivery_reader import Received
from worker.amqp.intake import Intake
from worker.counters import Counters


class Wire:
    """A stand-in for a channel.

    Attributes:
        acks: The acknowledgements of its deliveries.
        frames: The acknowledgement frames, each with whether it covers all earlier tags.
        returned: The requeued tags.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self.frames: list[tuple[int, bool]] = []
        self.returned: list[int] = []
        self.acks = Acknowledgements(cast("WireChannel", self))

    async def basic_ack(self, tag: int, *, multiple: bool = False, **_: Any) -> None:
        if self.is_closed:
            raise RuntimeError("closed")
        self.frames.append((tag, multiple))

    async def basic_nack(self, tag: int, **_: Any) -> None:
        if self.is_closed:
            raise RuntimeError("closed")
        self.returned.append(tag)


def delivery(
    acks: Acknowledgements,
    counters: Counters,
    tag: int = 1,
    *,
    headers: Mapping[str, Any] | None = None,
    redelivered: bool = False,
    intake: Intake | None = None,
) -> Delivery:
    properties = SimpleNamespace(headers=headers)
    message = Received(tag, cast("Any", properties), b"{}", is_redelivered=redelivered)
    return Delivery(acks, message, counters, intake)
