"""The peers: the processes that consume a domain's shards, as each of them knows the others."""

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
# How often each process looks whether the others are there. Who was killed is missed after that, at the latest.
_INTERVAL_SECONDS = 1.0
_PATIENCE_SECONDS = 5.0
_WORD_SECONDS = 1.0
_FIRST_REST, _LONGEST_REST = 0.5, 5.0


class Peers:
    """Knows which processes there are, by the queue that each has for as long as its connection lasts.

    Who comes says so to all; they answer. From then on each sends each of the others a word now and then. One that no
    queue takes comes back: its receiver is gone. So nobody is taken for dead because it is slow, and nobody else judges
    than the broker, who also hands a shard on only when its consumer is gone.

    The connection is one of its own: a broker that is short of memory or disk stops reading from who publishes, and
    acknowledgements must not wait for that.

    Args:
        url: The broker.
        topology: The domain.
        changed: Called whenever somebody came or went.

    Attributes:
        name: What the others call this process. A new connection has a new name.
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
        """All that are known to be there, this process included."""
        return frozenset({self.name, *self._others})

    async def join(self) -> None:
        """Connect, and be among the peers.

        Raises:
            BrokerUnavailable: The broker is out of reach.
            BrokerMisconfigured: The broker refuses us or a declaration.
        """
        async with self._link.translating():
            wire = await self._link.wire()
            with suppress(TimeoutError):  # a broker that is short of memory: it is said later
                async with asyncio.timeout(_WORD_SECONDS):
                    await self._say_so(wire)

    async def keep_in_touch(self) -> None:
        """Notice who comes and goes. Runs until it is cancelled."""
        told: str | None = None  # each reason why we cannot is told once
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
                    _log.warning("cannot keep in touch with other workers of %s: %s", self._topology.domain_name, error)
                await backoff.rest()
            else:
                told = None
                backoff.reset()

    async def leave(self) -> None:
        """Tell the others that this process takes no more shards, and close the connection. Safe to repeat."""
        try:
            with KeptCancellation(*LOST, BrokerError):
                async with asyncio.timeout(_WORD_SECONDS):
                    if self._link.is_open:
                        await self._send(await self._link.wire(), _LEFT, exchange=self._topology.peer_exchange)
            await self._link.close()
        finally:
            self._link.cut()

    async def _join(self, channel: AbstractChannel) -> None:
        # The broker may not have noticed yet that the connection before is lost, and would refuse its queue's name.
        self.name = _new_name(self._topology)
        await declare_missing(self._link, self._topology)
        await channel.declare_queue(self.name, exclusive=True, auto_delete=True)
        queue = await channel.get_queue(self.name, ensure=False)
        await queue.bind(self._topology.peer_exchange)
        wire = await self._link.wire_of(channel)
        await wire.basic_consume(self.name, self._on_word, no_ack=True)
        # To say so may take as long as the broker is short of memory, and shall not keep us from starting.
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
            # The library tells by the id which message came back.
            properties=spec.Basic.Properties(message_id=str(uuid4()), message_type=word, reply_to=self.name),
            wait=False,
        )

    def _forget(self, name: str) -> None:
        if name in self._others:
            self._others.discard(name)
            self._changed()


def _new_name(topology: Topology) -> str:
    return f"{topology.domain_name}.workers.{uuid4()}"
