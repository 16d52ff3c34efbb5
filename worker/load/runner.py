"""The runner: publishes a workload through RabbitMQ, and collects every answer."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from uuid import UUID, uuid4

from handlers.domain import Domain
from handlers.model import Command
from handlers.scenario import Workload
from worker.errors import NoReply
from worker.load.tally import Tally
from worker.message import Reply
from worker.publisher import Publisher

__all__ = ["Pace", "Runner"]

_Send = Callable[[Command], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast commands are sent.

    Attributes:
        in_flight: Closed load: the number of commands in progress at the same time; a new one is sent when one is
            answered. The set-up is always sent like this. Several domains share the number evenly.
        rate: Open load: the number of commands to send a second, whether or not they are answered; None for closed
            load. The latency of a command counts from when it was due, even if it was sent later, so that a stall does
            not disappear from the figures with the commands that it delayed.
        duration: The seconds after which no further command is sent; None to send all of them.
    """

    in_flight: int = 128
    rate: float | None = None
    duration: float | None = None


class Runner:
    """Publishes a workload at a pace.

    Args:
        publisher: Publishes the commands.
        copier: Publishes copies. A publisher of its own, since a reply goes to the publisher of the message.
        domains: The domains of the commands.
        pace: How fast commands are sent.
        timeout: How long to wait for an answer, in seconds.
        rng: Chooses the commands to copy.
    """

    def __init__(
        self,
        publisher: Publisher,
        copier: Publisher,
        domains: Sequence[Domain],
        *,
        pace: Pace,
        timeout: float = 60.0,
        rng: random.Random,
    ) -> None:
        self.tally = Tally()
        self._publisher = publisher
        self._copier = copier
        self._domains = {decider.command: domain for domain in domains for decider in domain.deciders}
        self._pace = pace
        self._timeout = timeout
        self._rng = rng
        self._copied_at_once = 0.0
        self._copied_later = 0.0
        self._answered: Callable[[int, datetime], None] | None = None

    async def set_up(self, commands: Iterable[Command]) -> None:
        """Publish the commands that the load builds on, and wait until all are settled. Raises as ``load`` does."""
        await self._closed(commands, self._send)

    async def load(self, workload: Workload, *, total: int) -> None:
        """Publish the load, and wait until every message is answered or overdue.

        Args:
            workload: The workload; its set-up is not sent.
            total: The number of commands of the load.

        Raises:
            Unroutable: A domain has no queue, because no worker has ever served it.
            BrokerUnavailable: The broker stopped accepting commands.

        On cancellation nothing more is sent; commands that were sent may still be processed.
        """
        self.tally.total = total
        self._copied_at_once, self._copied_later = workload.copied_at_once, workload.copied_later
        self._answered = workload.answered
        self.tally.began = began = perf_counter()
        ends = None if self._pace.duration is None else began + self._pace.duration
        try:
            if self._pace.rate is None:
                await self._closed(workload.load, lambda command: self._time(command, due=perf_counter()), ends)
            else:
                await self._open(workload.load, self._pace.rate, began, ends)
        finally:
            self.tally.ended = perf_counter()
        if ends is not None:
            self.tally.total = len(self.tally.commands) - len(self.tally.setup)

    async def _closed(self, commands: Iterable[Command], send: _Send, ends: float | None = None) -> None:
        remaining = iter(commands)
        # Each domain has slots of its own: if one's store is down, commands of the others are still sent.
        ahead: dict[str, deque[Command]] = {domain.name: deque() for domain in self._domains.values()}
        every, left = divmod(self._pace.in_flight, len(ahead))

        def next_of(domain_name: str) -> Command | None:
            if ahead[domain_name]:
                return ahead[domain_name].popleft()
            for command in remaining:
                owner = self._domains[type(command)].name
                if owner == domain_name:
                    return command
                ahead[owner].append(command)
            return None

        async def send_some(domain_name: str) -> None:
            while ends is None or perf_counter() < ends:
                command = next_of(domain_name)
                if command is None:
                    return
                await send(command)

        async with asyncio.TaskGroup() as group:
            for number, domain_name in enumerate(ahead):
                for _ in range(max(every + (number < left), 1)):
                    group.create_task(send_some(domain_name))

    async def _open(self, commands: Iterable[Command], rate: float, began: float, ends: float | None) -> None:
        async with asyncio.TaskGroup() as group:
            for number, command in enumerate(commands):
                due = began + number / rate
                if ends is not None and due >= ends:
                    return
                # Sleep even if commands are overdue: otherwise they would block everything else on the loop.
                await asyncio.sleep(max(due - perf_counter(), 0))
                group.create_task(self._time(command, due=due))

    async def _send(self, command: Command) -> None:
        command_id = self._named(command)
        self.tally.setup.add(command_id)
        await self._request(self._publisher, command, command_id)

    async def _time(self, command: Command, *, due: float) -> None:
        """Publish a command with its copies."""
        command_id = self._named(command)
        at_once = self._rng.random() < self._copied_at_once
        later = self._rng.random() < self._copied_later
        async with asyncio.TaskGroup() as group:
            if at_once:
                group.create_task(self._copy(command, command_id))
            reply = await self._request(self._publisher, command, command_id)
            if reply is not None:
                self.tally.answer(reply, due=due)
        if later:
            await self._copy(command, command_id)

    def _named(self, command: Command) -> UUID:
        command_id = uuid4()
        self.tally.commands[command_id] = command
        return command_id

    async def _copy(self, command: Command, command_id: UUID) -> None:
        self.tally.copies += 1
        await self._request(self._copier, command, command_id)

    async def _request(self, publisher: Publisher, command: Command, command_id: UUID) -> Reply | None:
        self.tally.messages += 1
        owner = self._domains[type(command)]
        try:
            reply = await publisher.request(
                owner.name,
                type(command).__name__,
                command,
                command_id=command_id,
                affinity_key=owner.affinity_key(command),
                timeout=self._timeout,
            )
        except NoReply:
            self.tally.unanswered += 1
            return None
        self.tally.replies.setdefault(command_id, []).append(reply)
        if self._answered is not None and reply.position is not None:
            self._answered(reply.position.number, datetime.now(UTC))
        return reply
