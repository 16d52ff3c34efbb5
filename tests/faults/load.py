"""The load: keeps commands in flight; each is published until the broker confirms it, and then never again."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Self
from uuid import UUID, uuid4

from eventstore import EventStoreError
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.connections.dialing import SessionAttribute
from handlers.decider import Command
from tests.support.fixtures.waiting import eventually
from worker.amqp.reply_queue import ReplyQueue
from worker.errors import BrokerUnavailable, Unroutable
from worker.message import Reply
from worker.publisher import Publisher

__all__ = ["UNDER_WAY", "Load"]

UNDER_WAY = 48
"""The most commands that are under way at the same time."""

_CONFIRM_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0
# A reply may be lost with its connection: after this time the receipt is looked up as well.
_REPLY_SECONDS = 1.0
_LOOK_SECONDS = 0.1
_RECORDED = "SELECT key FROM eventstore.receipts WHERE key = ANY ($1)"


class Load:
    """Keeps a limited number of commands in flight.

    A command whose publishing was not confirmed is published again with the same id, until it is. A confirmed one is
    never sent again: the broker and the workers must not lose it.

    Attributes:
        commands: All published commands, by id.
        sent_at: When each was confirmed, in seconds since the epoch.
        answered: The ids of commands with a known answer.
        replies: All received replies, by command id.
        repeated: How often a command had to be published again.
        database_url: The database of the receipts.
    """

    def __init__(
        self,
        publisher: Publisher,
        reply_queue: ReplyQueue,
        domain_name: str,
        commands: Iterator[Command],
        *,
        database_url: str,
        copies: int,
    ) -> None:
        self.database_url = database_url
        self.commands: dict[UUID, Command] = {}
        self.sent_at: dict[UUID, float] = {}
        self.answered: set[UUID] = set()
        self.replies: dict[UUID, list[Reply]] = {}
        self.repeated = 0
        self._publisher = publisher
        self._reply_queue = reply_queue
        self._domain_name = domain_name
        self._source = commands
        self._copies = copies
        self._allowed = asyncio.Semaphore(0)
        self._granted = 0
        self._overdue: dict[UUID, asyncio.Future[None]] = {}

    @classmethod
    @asynccontextmanager
    async def through(
        cls, amqp_url: str, database_url: str, domain_name: str, commands: Iterator[Command], *, copies: int = 1
    ) -> AsyncIterator[Self]:
        """Connect and send the allowed commands, until the end of the ``async with``.

        Args:
            amqp_url: The broker.
            database_url: The database of the receipts.
            domain_name: The domain of the commands.
            commands: An endless iterator of commands.
            copies: How often each is sent.
        """
        reply_queue = ReplyQueue(amqp_url, name="load replies")
        try:
            async with Publisher.connect(amqp_url, name="load") as publisher, asyncio.TaskGroup() as group:
                load = cls(publisher, reply_queue, domain_name, commands, database_url=database_url, copies=copies)
                tasks = [group.create_task(load._send_some()) for _ in range(UNDER_WAY)]
                tasks.append(group.create_task(load._look_for_receipts()))
                yield load
                for task in tasks:
                    task.cancel()
        finally:
            await reply_queue.close()

    @property
    def is_idle(self) -> bool:
        """Whether all allowed commands are answered, and none is in flight."""
        return len(self.answered) >= self._granted

    def allow(self, count: int) -> None:
        """Allow ``count`` more commands to be sent, each as soon as another one is answered."""
        self._granted += count
        for _ in range(count):
            self._allowed.release()

    async def reach(self, count: int) -> None:
        """Wait until ``count`` commands are answered.

        Raises:
            AssertionError: No further answer came for far longer than any recovery takes.
        """
        while (known := len(self.answered)) < count:
            await eventually(partial(self._knows_more_than, known), what=f"{count} answers", seconds=_PATIENCE_SECONDS)

    def withdraw(self) -> None:
        """Send no further commands."""
        self._allowed = asyncio.Semaphore(0)

    async def finish(self) -> None:
        """Wait until all allowed commands are answered. Raises as ``reach`` does."""
        await self.reach(self._granted)

    async def ask(self, command: Command, command_id: UUID) -> None:
        """Send one command and wait for its answer."""
        self.commands[command_id] = command
        with self._reply_queue.expecting(command_id) as reply:
            for _ in range(self._copies):
                await self._publish(command, command_id)
            self.sent_at[command_id] = time.time()
            await asyncio.wait({reply}, timeout=_REPLY_SECONDS)
            if not _came(reply):
                await self._reply_or_receipt(reply, command_id)
            if _came(reply):
                self.replies.setdefault(command_id, []).append(reply.result())
        self.answered.add(command_id)

    async def _reply_or_receipt(self, reply: asyncio.Future[Reply], command_id: UUID) -> None:
        """Wait for the first of both. If a failover loses the receipt, a late reply is the only answer."""
        self._overdue[command_id] = recorded = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({reply, recorded}, return_when=asyncio.FIRST_COMPLETED)
            if not _came(reply):
                await recorded
        finally:
            self._overdue.pop(command_id, None)

    async def _knows_more_than(self, count: int) -> bool:
        return len(self.answered) > count

    async def _send_some(self) -> None:
        while True:
            await self._allowed.acquire()
            await self.ask(next(self._source), uuid4())

    async def _publish(self, command: Command, command_id: UUID) -> None:
        while True:
            try:
                async with asyncio.timeout(_CONFIRM_SECONDS):
                    await self._publisher.publish(
                        self._domain_name,
                        type(command).__name__,
                        command,
                        command_id=command_id,
                        reply_to=await self._reply_queue.open(),
                        timeout=_CONFIRM_SECONDS,
                    )
            except (BrokerUnavailable, Unroutable, TimeoutError):
                # A broker that has just started may know an exchange before its bindings.
                self.repeated += 1
            else:
                return

    async def _look_for_receipts(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._overdue:
                with suppress(EventStoreError):
                    async with administrator(
                        self.database_url, purpose="faults", wanted=SessionAttribute.read_write, statement_seconds=30
                    ) as connection:
                        found = await connection.fetch(_RECORDED, list(self._overdue))
                    for row in found:
                        # The reply may have arrived meanwhile.
                        if (recorded := self._overdue.pop(row["key"], None)) is not None:
                            recorded.set_result(None)


def _came(reply: asyncio.Future[Reply]) -> bool:
    """Whether the reply has arrived; it may also have been lost with its connection."""
    return reply.done() and reply.exception() is None
