"""Replies: messages to publishers that asked for the answer. A reply that fails is counted and has no other effect."""

import logging
import time
from datetime import UTC, datetime
from uuid import UUID, uuid4

from eventstore import Receipt
from eventstore.backoff import Backoff
from worker.amqp.direct_reply import is_direct, is_sound
from worker.amqp.sender import Properties, Sender
from worker.counters import Counters
from worker.errors import BrokerBusy, BrokerUnavailable, Unroutable
from worker.message import CONTENT_TYPE, CommandMessage, Reply
from worker.printable import printable

__all__ = ["Replies"]

_log = logging.getLogger(__name__)

_LONGEST_REASON = 1000
_LONGEST_SHOWN = 100
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_MOST_FULL = 1000


class Replies:
    """Sends replies to commands that name a reply queue.

    Args:
        sender: The connection that publishes replies to queues.
        direct: Another connection, for direct reply-to addresses: a broker may close it because of an address.
        counters: Counts the replies that fail.
        timeout: How long each reply is tried, in seconds.
    """

    def __init__(self, sender: Sender, direct: Sender, counters: Counters, *, timeout: float) -> None:
        self._sender = sender
        self._direct = direct
        self._counters = counters
        self._timeout = timeout
        # The reply queues that took no reply in all of its time, such as full ones. The oldest comes first.
        self._full: dict[str, None] = {}

    async def answered(self, message: CommandMessage, receipt: Receipt, *, duplicate: bool) -> None:
        """Reply with the outcome of a command. Does nothing if it asked for no reply.

        Args:
            message: The command.
            receipt: Its receipt.
            duplicate: Whether the command was answered before, so that this reply repeats an earlier one.
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
        """Reply that a command was dead-lettered, and why. Does nothing if it asked for no reply.

        Args:
            properties: The message's properties.
            message: The command; None if the message is not a valid one. A reply is then sent if the properties have a
                correlation id or a message id.
            reason: The text of the reply's reason.
        """
        if not properties.reply_to:
            return
        correlation_id = message.correlation_id if message is not None else properties.correlation_id
        identity = correlation_id or properties.message_id
        if identity is None:
            return
        command_id = message.command_id if message is not None else _readable(properties.message_id)
        # An error of a domain's code may contain what cannot be encoded.
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
            if is_direct(reply_to):
                await self._send_direct(reply.to_json(), properties, reply_to)
            else:
                await self._send_again(reply.to_json(), properties, reply_to)
        except Exception as error:  # noqa: BLE001  the answer is on record: a failed reply changes nothing
            self._counters.failed_replies += 1
            # The sender's error is about the reply only: the command is settled.
            why = (
                f"no consumer reads the reply queue {printable(reply_to)} any more"
                if isinstance(error, Unroutable)
                else error
            )
            _log.info("the command is settled, but its reply could not be sent: %s", why)

    async def _send_again(self, body: bytes, properties: Properties, queue: str) -> None:
        """Publish, and retry when the connection breaks or the queue is full. The same reply may then arrive twice.

        A queue that was full for a reply's whole time is tried once for each further reply, until it takes one: a
        delivery is held meanwhile, and deliveries of other publishers wait for its room.
        """
        deadline = time.monotonic() + self._timeout
        backoff = Backoff(first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        refused: BrokerBusy | None = None
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                await self._sender.send(body, properties, exchange="", routing_key=queue, timeout=left)
            except BrokerBusy as error:
                if queue in self._full:
                    raise
                refused = error
            except BrokerUnavailable:
                # The last attempt may have had hardly any time: the reason is that of those before it.
                if refused is None and time.monotonic() >= deadline:
                    raise
            except Unroutable:
                self._full.pop(queue, None)
                raise
            else:
                self._full.pop(queue, None)
                return
            if refused is not None and time.monotonic() >= deadline:
                self._note_full(queue)
                raise refused
            await backoff.rest()

    def _note_full(self, queue: str) -> None:
        self._full[queue] = None
        if len(self._full) > _MOST_FULL:
            del self._full[next(iter(self._full))]

    async def _send_direct(self, body: bytes, properties: Properties, address: str) -> None:
        """Publish to the channel that asked, once: after a reconnect, another channel may have its address."""
        if not is_sound(address):
            raise ValueError(f"{address[:_LONGEST_SHOWN]!r} is not an address that a broker gives")
        # Brokers before 3.12 return mandatory messages to such an address as unroutable, and deliver them all the same.
        await self._direct.send(
            body, properties, exchange="", routing_key=address, timeout=self._timeout, mandatory=False
        )


def _readable(message_id: str | None) -> UUID | None:
    try:
        return UUID(message_id) if message_id else None
    except ValueError:
        return None
