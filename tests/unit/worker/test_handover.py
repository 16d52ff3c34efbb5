import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.support.fixtures.waiting import eventually
from worker.amqp.delivery import Delivery
from worker.amqp.sender import Properties, Sender
from worker.errors import BrokerUnavailable, MessageRefused, Unroutable
from worker.rounds.handover import Handover, Sent
from worker.topology import Topology

TALLY = Topology("tally")


class Lot:
    """A stand-in for a delivery, on a channel that can be lost."""

    body = b"{}"
    properties = Properties(message_id="id")

    def __init__(self) -> None:
        self.loss: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.abandoned = False

    def abandon(self) -> None:
        self.abandoned = True


class Staged(Sender):
    """A sender that raises given failures or hangs, and then succeeds."""

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
        # A copy whose sending timed out may still be stored, beside the next one.
        assert target["timeout"] is None
        # A refusal must not affect other copies.
        assert target["alone"]
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

    async def declare(self, topology: Topology, timeout: float | None = 5.0) -> tuple[str, ...]:  # noqa: ARG002, ASYNC109  the sender's signature
        self.declared.append(topology)
        return ()


def begun(sender: Sender, lot: Lot) -> asyncio.Task[Sent]:
    return asyncio.create_task(Handover(sender, TALLY).complete(cast("Delivery", lot), "there", {}))


async def test_after_a_failure_it_is_tried_again() -> None:
    sender, lot = Staged(BrokerUnavailable("gone"), BrokerUnavailable("still gone")), Lot()
    assert await begun(sender, lot) is Sent.STORED
    assert sender.sent == ["there"]
    assert not lot.abandoned


async def test_a_missing_queue_is_declared_before_the_next_attempt() -> None:
    sender, lot = Staged(Unroutable("no such queue")), Lot()
    assert await begun(sender, lot) is Sent.STORED
    assert (sender.declared, sender.sent) == ([TALLY], ["there"])


async def test_a_permanent_refusal_is_not_retried() -> None:
    sender, lot = Staged(MessageRefused("too large")), Lot()
    assert await begun(sender, lot) is Sent.REFUSED
    assert sender.sent == []
    assert not lot.abandoned


async def test_a_copy_that_waits_for_long_is_logged_with_its_reason() -> None:
    sender, lot = Staged(silent=True), Lot()
    handover = Handover(sender, TALLY, patience=0.01)
    sending = asyncio.create_task(handover.complete(cast("Delivery", lot), "there", {}))
    await sender.under_way.wait()

    told = "deliveries of tally that wait to be forwarded: 1 (RabbitMQ at nowhere:5672"

    async def is_known() -> bool:
        # The wait is known a moment before its reason.
        return (handover.trouble or "").startswith(told)

    await eventually(is_known, what="the reason of the wait")
    lot.loss.set_result(None)
    assert await sending is Sent.LOST
    assert handover.trouble is None


async def test_a_delivery_lost_meanwhile_is_left_to_the_broker() -> None:
    sender, lot = Staged(silent=True), Lot()
    handover = begun(sender, lot)
    await sender.under_way.wait()
    lot.loss.set_result(None)
    assert await handover is Sent.LOST
    assert lot.abandoned
    assert sender.given_up


async def test_a_delivery_lost_before_is_not_copied() -> None:
    sender, lot = Staged(), Lot()
    lot.loss.set_result(None)
    assert await begun(sender, lot) is Sent.LOST
    assert lot.abandoned
    assert sender.sent == []


@pytest.mark.parametrize("failure", [TypeError, ValueError])
async def test_a_message_that_can_never_be_sent_is_reported(failure: Callable[[str], Exception]) -> None:
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
