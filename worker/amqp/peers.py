"""The peers: the processes that consume a domain's shards, as known to each of them."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from aio_pika.abc import AbstractChannel
from aiormq import spec
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import PublishError

from eventstore.backoff import Backoff
from worker.amqp.connection import Link, WireChannel
from worker.amqp.declaration import declare_missing
from worker.amqp.kept_cancellation import KeptCancellation
from worker.amqp.refusals import LOST
from worker.errors import BrokerError
from worker.topology import Topology

__all__ = ["Peers"]

_log = logging.getLogger(__name__)

_JOINED, _HERE, _LEFT = "joined", "here", "left"
# How often each process checks the others. A killed process is noticed after this time, at the latest.
_INTERVAL_SECONDS = 1.0
_PATIENCE_SECONDS = 5.0
_WORD_SECONDS = 1.0
_FIRST_REST, _LONGEST_REST = 0.5, 5.0


class Peers:
    """Knows the other processes by their queues, each of which exists as long as its process is connected.

    A new process announces itself to all, and they answer. After that, each sends a message to each other one at
    intervals. If no queue takes it, it is returned: that process is gone. So a slow process is never taken for dead.
    Only the broker decides, and it hands a shard on only when its consumer is gone.

    The connection is used for nothing else: a broker that is short of memory or disk stops reading from publishers, and
    acknowledgements must not wait for that.

    Args:
        url: The broker's address.
        topology: The domain's queues and exchanges.
        changed: Called whenever a process came or went.

    Attributes:
        name: Name of this process's queue, by which others know it. A new connection has a new name.
    """

    def __init__(self, url: str, topology: Topology, *, changed: Callable[[], None]) -> None:
        self.name = _new_name(topology)
        self._topology = topology
        self._changed = changed
        self._others: set[str] = set()
        self._has_said_so = False
        self._due = asyncio.Event()
        self._link = Link(url, name=f"worker {topology.domain_name} peers", prepare=self._join)

    @property
    def names(self) -> frozenset[str]:
        """The names of all known processes, including this one."""
        return frozenset({self.name, *self._others})

    async def join(self) -> None:
        """Connect, and announce this process.

        Raises:
            BrokerUnavailable: The broker cannot be reached.
            BrokerMisconfigured: The broker refuses the connection or a declaration.
        """
        async with self._link.translating():
            wire = await self._link.wire()
            with suppress(TimeoutError):  # a broker that is short of memory: announced later
                async with asyncio.timeout(_WORD_SECONDS):
                    await self._say_so(wire)

    async def keep_in_touch(self) -> None:
        """Notice which processes come and go. Runs until it is cancelled."""
        told: str | None = None  # each reason why that fails is logged once
        backoff = Backoff(first=_FIRST_REST, longest=_LONGEST_REST)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_SECONDS):
                    await self._due.wait()
            self._due.clear()
            try:
                async with self._link.translating():
                    await self._greet(await self._link.wire())
            except BrokerError as error:
                if told != (told := str(error)):
                    _log.warning("lost contact with the other workers of %s: %s", self._topology.domain_name, error)
                await backoff.rest()
            else:
                told = None
                backoff.reset()

    async def leave(self) -> None:
        """Tell the other processes that this one takes no more shards, and close the connection. Safe to repeat."""
        try:
            with KeptCancellation(*LOST, BrokerError):
                async with asyncio.timeout(_WORD_SECONDS):
                    if self._link.is_open:
                        await self._send(await self._link.wire(), _LEFT, exchange=self._topology.peer_exchange)
            await self._link.close()
        finally:
            self._link.cut()

    async def _join(self, channel: AbstractChannel) -> None:
        # The broker may not have noticed yet that the previous connection is lost, and would refuse its queue's name.
        self.name = _new_name(self._topology)
        await declare_missing(self._link, self._topology)
        await channel.declare_queue(self.name, exclusive=True, auto_delete=True)
        queue = await channel.get_queue(self.name, ensure=False)
        await queue.bind(self._topology.peer_exchange)
        wire = await self._link.wire_of(channel)
        await wire.basic_consume(self.name, self._on_word, no_ack=True)
        # The announcement may take as long as the broker is short of memory, and must not delay the start.
        self._has_said_so = False
        self._due.set()
        self._changed()

    async def _on_word(self, message: DeliveredMessage) -> None:
        properties = message.header.properties
        name, word = properties.reply_to, properties.message_type
        if not name or name == self.name:
            return
        if word == _JOINED:
            self._due.set()
        if word == _LEFT:
            self._forget(name)
        elif name not in self._others:
            self._others.add(name)
            self._changed()

    async def _greet(self, wire: WireChannel) -> None:
        async def greet(name: str) -> None:
            try:
                await self._send(wire, _HERE, exchange="", routing_key=name, mandatory=True)
            except PublishError:
                self._forget(name)

        async with asyncio.timeout(_PATIENCE_SECONDS):
            await self._say_so(wire)
            await asyncio.gather(*(greet(name) for name in tuple(self._others)))

    async def _say_so(self, wire: WireChannel) -> None:
        if not self._has_said_so:
            await self._send(wire, _JOINED, exchange=self._topology.peer_exchange)
            self._has_said_so = True

    async def _send(
        self, wire: WireChannel, word: str, *, exchange: str, routing_key: str = "", mandatory: bool = False
    ) -> None:
        await wire.basic_publish(
            b"",
            exchange=exchange,
            routing_key=routing_key,
            mandatory=mandatory,
            # The library recognises a returned message by its id.
            properties=spec.Basic.Properties(message_id=str(uuid4()), message_type=word, reply_to=self.name),
            wait=False,
        )

    def _forget(self, name: str) -> None:
        if name in self._others:
            self._others.discard(name)
            self._changed()


def _new_name(topology: Topology) -> str:
    return f"{topology.domain_name}.workers.{uuid4()}"
