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

    async def answered(self, message: CommandMessage, receipt: Receipt, *, duplicate: bool) -> None:
        """Say what became of a command.

        Args:
            message: The command.
            receipt: Its answer.
            duplicate: Whether its sender had been told before.
        """
        if message.reply_to is None:
            return
        reply = Reply(
            command_id=message.command_id,
            outcome=receipt.outcome.kind.value,
            reason=receipt.outcome.reason,
            first=receipt.first,
            last=receipt.last,
            position=receipt.position,
            duplicate=duplicate,
        )
        await self._send(message.reply_to, reply, message.correlation_id)

    async def failed(self, properties: Properties, message: CommandMessage | None, reason: str) -> None:
        """Say that a command was put aside for a person, and why.

        Args:
            properties: Those of the message.
            message: The command; None if the message is none. Its sender is told all the same, if it can tell by the
                correlation id or the id that it gave the message.
            reason: Why.
        """
        if not properties.reply_to:
            return
        correlation_id = message.correlation_id if message is not None else properties.correlation_id
        identity = correlation_id or properties.message_id
        if identity is None:
            return
        command_id = message.command_id if message is not None else None
        # What a domain's code raised may say what no encoding can write.
        said = reason[:_LONGEST_REASON].encode(errors="backslashreplace").decode()
        reply = Reply(command_id=command_id, outcome="failed", reason=said)
        await self._send(properties.reply_to, reply, identity)

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
