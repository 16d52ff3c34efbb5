import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from worker.amqp.delivery import Delivery
from worker.amqp.sender import Properties, Sender
from worker.errors import BrokerUnavailable, Unroutable
from worker.rounds.handover import Handover
from worker.topology import Topology

TALLY = Topology("tally")


class Lot:
    """Stands where a delivery stands, on a channel that can be lost."""

    body = b"{}"
    properties = Properties(message_id="id")

    def __init__(self) -> None:
        self.loss: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.abandoned = False

    def abandon(self) -> None:
        self.abandoned = True


class Staged(Sender):
    """A sender that meets one failure after another, or a broker that says nothing; then it sends."""

    def __init__(self, *failures: Exception, silent: bool = False) -> None:
        super().__init__("amqp://nowhere", name="staged")
        self._failures = list(failures)
        self._silent = silent
        self.under_way = asyncio.Event()
        self.given_up = False
        self.sent: list[str] = []
        self.declared: list[Topology] = []

    async def send(self, body: bytes, properties: Properties, **target: Any) -> None:
        assert (body, properties.message_id) == (b"{}", "id")
        # A copy that is given up after a while may be stored all the same, beside the next one.
        assert target["timeout"] is None
        self.under_way.set()
        if self._failures:
            raise self._failures.pop(0)
        try:
            while self._silent:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up = True
            raise
        self.sent.append(target["routing_key"])

    async def declare(self, topology: Topology, timeout: float = 5.0) -> None:  # noqa: ARG002, ASYNC109  the sender's
        self.declared.append(topology)


def begun(sender: Sender, lot: Lot) -> asyncio.Task[bool]:
    return asyncio.create_task(Handover(sender, TALLY).complete(cast("Delivery", lot), "there", {}))


async def test_after_a_failure_it_is_tried_again() -> None:
    sender, lot = Staged(BrokerUnavailable("gone"), BrokerUnavailable("still gone")), Lot()
    assert await begun(sender, lot)
    assert sender.sent == ["there"]
    assert not lot.abandoned


async def test_a_queue_that_is_missing_is_declared_before_it_is_tried_again() -> None:
    sender, lot = Staged(Unroutable("no such queue")), Lot()
    assert await begun(sender, lot)
    assert (sender.declared, sender.sent) == ([TALLY], ["there"])


async def test_a_delivery_that_is_lost_meanwhile_is_left_to_the_broker() -> None:
    sender, lot = Staged(silent=True), Lot()
    handover = begun(sender, lot)
    await sender.under_way.wait()
    lot.loss.set_result(None)
    assert not await handover
    assert lot.abandoned
    assert sender.given_up


async def test_a_delivery_that_was_lost_before_is_not_sent_on() -> None:
    sender, lot = Staged(), Lot()
    lot.loss.set_result(None)
    assert not await begun(sender, lot)
    assert lot.abandoned
    assert sender.sent == []


@pytest.mark.parametrize("failure", [TypeError, ValueError])
async def test_what_cannot_be_sent_at_all_is_told(failure: Callable[[str], Exception]) -> None:
    lot = Lot()
    with pytest.raises((TypeError, ValueError), match="no such thing can be written"):
        await begun(Staged(failure("no such thing can be written")), lot)
    assert lot.loss.cancelled()


async def test_a_cancellation_ends_the_sending() -> None:
    sender, lot = Staged(silent=True), Lot()
    handover = begun(sender, lot)
    await sender.under_way.wait()
    handover.cancel()
    await asyncio.wait({handover})
    assert handover.cancelled()
    assert sender.given_up
    assert not lot.abandoned
