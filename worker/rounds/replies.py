"""Replies: what is sent to who asked for an answer. One that fails is counted, and changes nothing else."""

import logging
from datetime import UTC, datetime
from uuid import uuid4

from eventstore import Receipt
from worker.amqp.sender import Properties, Sender
from worker.counters import Counters
from worker.message import CONTENT_TYPE, CommandMessage, Reply

__all__ = ["Replies"]

_log = logging.getLogger(__name__)

_LONGEST_REASON = 1000


class Replies:
    """Answers the commands that name a queue for it.

    Args:
        sender: Sends them.
        counters: Where those that fail are counted.
        timeout: How long each is tried, in seconds.
    """

    def __init__(self, sender: Sender, counters: Counters, *, timeout: float) -> None:
        self._sender = sender
        self._counters = counters
        self._timeout = timeout

    async def answered(self, message: CommandMessage, receipt: Receipt) -> None:
        """Say what became of a command."""
        if message.reply_to is None:
            return
        reply = Reply(
            command_id=message.command_id,
            outcome=receipt.outcome.kind.value,
            reason=receipt.outcome.reason,
            first=receipt.first,
            last=receipt.last,
            position=receipt.position,
            duplicate=receipt.duplicate,
        )
        await self._send(message.reply_to, reply, message.correlation_id)

    async def failed(self, message: CommandMessage, reason: str) -> None:
        """Say that a command was put aside for a person, and why."""
        if message.reply_to is None:
            return
        reply = Reply(command_id=message.command_id, outcome="failed", reason=reason[:_LONGEST_REASON])
        await self._send(message.reply_to, reply, message.correlation_id)

    async def _send(self, reply_to: str, reply: Reply, correlation_id: str) -> None:
        properties = Properties(
            message_id=str(uuid4()),
            message_type="reply",
            correlation_id=correlation_id,
            content_type=CONTENT_TYPE,
            timestamp=datetime.now(UTC),
        )
        try:
            await self._sender.send(
                reply.to_json(), properties, exchange="", routing_key=reply_to, timeout=self._timeout
            )
        except Exception as error:  # noqa: BLE001  the answer is on record: whatever a reply fails of, the delivery is done
            self._counters.failed_replies += 1
            _log.info("the reply could not be sent: %s", error)
