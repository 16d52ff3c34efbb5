"""The runner: sends a workload through RabbitMQ to whichever workers are there, and collects every answer."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter
from uuid import UUID, uuid4

from handlers.decider import Command
from worker.errors import NoReply
from worker.load.tally import Tally
from worker.message import Reply
from worker.publisher import Publisher

__all__ = ["Runner"]


_Send = Callable[[Command], Awaitable[None]]


class Runner:
    """Keeps a bounded number of commands under way: a new one is sent when one is answered.

    Args:
        publisher: Sends the commands.
        copier: Sends the copies. It is another publisher, since each message is answered to the one that sent it.
        domain_name: Whose commands they are.
        outstanding: How many commands are under way at the same time.
        copied: The share of the load's commands that are sent twice with the same id, from 0 to 1: half of them
            at the same time, half once the first is answered.
        timeout: How long to wait for an answer, in seconds.
        rng: Chooses the copied commands.
    """

    def __init__(
        self,
        publisher: Publisher,
        copier: Publisher,
        domain_name: str,
        *,
        outstanding: int = 128,
        copied: float = 0.0,
        timeout: float = 60.0,
        rng: random.Random,
    ) -> None:
        self.tally = Tally()
        self._publisher = publisher
        self._copier = copier
        self._domain_name = domain_name
        self._outstanding = outstanding
        self._copied = copied
        self._timeout = timeout
        self._rng = rng

    async def set_up(self, commands: Iterable[Command]) -> None:
        """Send commands that the load builds on, and wait until all of them are settled. Raises as ``load`` does."""
        await self._all(commands, self._send)

    async def load(self, commands: Iterable[Command], *, total: int) -> None:
        """Send the load, and wait until every message is answered or overdue.

        Args:
            commands: What to send.
            total: How many they are.

        Raises:
            Unroutable: No worker has ever served the domain.
            BrokerUnavailable: The broker stopped taking commands.

        On cancellation nothing more is sent; what was sent may still be processed.
        """
        self.tally.total = total
        self.tally.began = perf_counter()
        try:
            await self._all(commands, self._send_and_time)
        finally:
            self.tally.ended = perf_counter()

    async def _all(self, commands: Iterable[Command], send: _Send) -> None:
        remaining = iter(commands)

        async def send_some() -> None:
            for command in remaining:
                await send(command)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._outstanding):
                group.create_task(send_some())

    async def _send(self, command: Command) -> None:
        command_id = uuid4()
        self.tally.commands[command_id] = command
        await self._request(self._publisher, command, command_id)

    async def _send_and_time(self, command: Command) -> None:
        command_id = uuid4()
        self.tally.commands[command_id] = command
        lot = self._rng.random()
        if lot < self._copied / 2:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(command, command_id))
                await self._time(command, command_id)
            return
        await self._time(command, command_id)
        if lot < self._copied:
            await self._copy(command, command_id)

    async def _time(self, command: Command, command_id: UUID) -> None:
        sent = perf_counter()
        reply = await self._request(self._publisher, command, command_id)
        if reply is not None:
            self.tally.latencies.append(perf_counter() - sent)
            self.tally.outcomes[reply.outcome, reply.reason or ""] += 1

    async def _copy(self, command: Command, command_id: UUID) -> None:
        self.tally.copies += 1
        await self._request(self._copier, command, command_id)

    async def _request(self, publisher: Publisher, command: Command, command_id: UUID) -> Reply | None:
        self.tally.messages += 1
        try:
            reply = await publisher.request(
                self._domain_name, type(command).__name__, command, command_id=command_id, timeout=self._timeout
            )
        except NoReply:
            self.tally.unanswered += 1
            return None
        self.tally.replies.setdefault(command_id, []).append(reply)
        return reply
