"""The shard consumer: consumes this process's share of a domain's shards, as processes come and go."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity

from worker.amqp.connection import Link
from worker.amqp.declaration import compare, declare_missing
from worker.amqp.delivery import Delivery
from worker.amqp.delivery_reader import DeliveryReader
from worker.amqp.interruption import Interruption
from worker.amqp.peers import Peers
from worker.amqp.shard_channel import ShardChannel
from worker.counters import Counters
from worker.errors import BrokerError
from worker.shares import largest_share, prefetch_of, share_of
from worker.topology import Topology

__all__ = ["ShardConsumer"]

_log = logging.getLogger(__name__)

# Time to declare a shard: a quorum queue is created on several nodes.
_SECONDS_A_SHARD = 0.25
_PREPARE_SECONDS = 30.0
_CONSUME_SECONDS = 10.0
# Processes of one deployment start within moments of each other. A shard that is handed over several times meanwhile
# returns the deliveries that wait in its channel each time, the broker counts that, and they would pass for poison. So
# a process hands over when none has joined for a while, or after the longer time.
_JOINING_SECONDS, _LONGEST_JOINING_SECONDS = 0.5, 2.0
# A channel's prefetch never changes. The channel is opened again when it should be larger or smaller by this factor.
_WORTH_REOPENING = 2


class ShardConsumer:
    """Consumes its share of a domain's shards, each over a channel of its own, on one connection.

    Each process computes its share from the other processes that it knows. The broker makes sure that no shard has two
    active consumers, whatever the processes know: a process that takes a shard waits there until the one that has it
    lets it go.

    Args:
        url: The broker's address.
        topology: The queues and exchanges to declare if missing. It has shards.
        prefetch: The most unsettled deliveries of one shard at a time; of all shards together, four times as many.
        counters: Counts deliveries.
        deliver: Called with each delivery, in order within a shard. It must not block: it is called while the
            connection is read.
        may_begin: Awaited before consuming begins again, as in ``Consumer``.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        *,
        prefetch: int,
        counters: Counters,
        deliver: Callable[[Delivery], None],
        may_begin: Callable[[], Awaitable[object]],
    ) -> None:
        if topology.shards is None:
            raise ValueError("a domain without affinity has no shards")
        self._topology = topology
        self._shards = topology.shards
        self._prefetch = prefetch
        self._counters = counters
        self._deliver = deliver
        self._may_begin = may_begin
        self._interruption = Interruption(topology.queue)
        self._link = Link(
            url,
            name=f"worker {topology.domain_name}",
            prepare=self._prepare,
            reader=DeliveryReader,
            prepare_seconds=_PREPARE_SECONDS + _SECONDS_A_SHARD * topology.shards,
            on_trouble=self._interruption.tell,
        )
        self._peers = Peers(url, topology, changed=self._on_peers)
        self._peer_count = 0
        self._joining: asyncio.TimerHandle | None = None
        self._joining_until = 0.0
        self._channels: dict[int, ShardChannel] = {}
        self._due = asyncio.Event()
        self._releases: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._told: tuple[tuple[int, ...], int] | None = None
        # None while the share is consumed.
        self._interrupted_at: float | None = time.monotonic()

    @property
    def queue(self) -> str:
        """Name of the domain's work queue, for people."""
        return self._topology.queue

    @property
    def is_consuming(self) -> bool:
        """Whether deliveries of its share can arrive now; a share may be empty."""
        return self._interrupted_at is None and self._link.is_open

    @property
    def interrupted_for(self) -> float:
        """For how long no delivery could arrive, in seconds; 0 while they can."""
        return 0.0 if self._interrupted_at is None else time.monotonic() - self._interrupted_at

    async def start(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109  an open end would hide a wrong address
        """Connect, declare what is missing, join the other processes, and begin to consume.

        Args:
            timeout: For the whole call, in seconds; 0.25 s are added for each shard that the domain has.

        Raises:
            BrokerUnavailable: The broker cannot be reached, or does not answer in time.
            BrokerMisconfigured: The broker refuses the connection or a declaration, or does not support shards.
        """
        async with self._link.translating(), asyncio.timeout(timeout + _SECONDS_A_SHARD * self._shards):
            await self._link.wire()
            await self._peers.join()
            await self._balance()

    async def keep_consuming(self) -> None:
        """Adjust the share whenever a process comes or goes or a connection breaks. Runs until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._peers.keep_in_touch())
            group.create_task(self._keep_share())

    async def stop(self) -> None:
        """Take no more deliveries. Each shard is let go as soon as its deliveries are settled."""
        self._stopped = True
        for channel in tuple(self._channels.values()):
            self._release(channel)
        await self._peers.leave()

    async def flush(self) -> None:
        """Wait until every acknowledgement has been handed to the connection."""
        await asyncio.gather(*(channel.flush() for channel in self._channels.values()))

    async def close(self) -> None:
        """Close the connections. The broker requeues every unsettled delivery.

        On cancellation they are aborted.
        """
        self._stopped = True
        if self._joining is not None:
            self._joining.cancel()
        for channel in tuple(self._channels.values()):
            self._release(channel)
            channel.give_up()
        # Closing a connection drops the acknowledgements that wait to be written; closing a channel does not.
        try:
            await asyncio.gather(*self._releases)
            await asyncio.gather(self._link.close(), self._peers.leave())
        finally:
            self._link.cut()

    async def _keep_share(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                if not self._link.is_open:
                    self._interruption.begin()
                    await self._interruption.rest()
                    await self._may_begin()
                    await self._link.reset()
                async with self._link.translating():
                    await self._link.wire()
                    await self._balance()
            except BrokerError as error:
                self._interruption.begin()
                self._interruption.tell(error)
                await self._link.reset()
                self._due.set()
            else:
                self._interruption.end()

    async def _balance(self) -> None:
        """Let go of shards of other processes' shares, and take those of this process's own."""
        while not self._stopped:
            names = self._peers.names
            share = share_of(self._peers.name, names, self._shards)
            prefetch = prefetch_of(largest_share(len(names), self._shards), self._prefetch)
            for channel in tuple(self._channels.values()):
                if channel.shard not in share or _is_far(channel.prefetch, prefetch):
                    self._release(channel)
            missing = next((shard for shard in share if shard not in self._channels), None)
            if missing is None:
                # A channel that is to be opened again ends first: its end wakes this task.
                if not any(self._channels[shard].is_closing for shard in share):
                    self._tell(share, len(names))
                    self._interrupted_at = None
                return
            # One at a time: a process that has just joined learns of others in between, and that its share is smaller.
            await self._take(missing, prefetch)

    async def _take(self, shard: int, prefetch: int) -> None:
        try:
            channel = await self._opened(shard, prefetch)
        except ChannelNotFoundEntity:
            # The queue was deleted.
            await declare_missing(self._link, self._topology)
            channel = await self._opened(shard, prefetch)
        if channel.is_closed:
            self._on_end(channel)
        else:
            self._channels[shard] = channel

    async def _opened(self, shard: int, prefetch: int) -> ShardChannel:
        # A broker that has just restarted may never answer a consumer; it does on a new connection.
        async with asyncio.timeout(_CONSUME_SECONDS):
            return await ShardChannel.open(
                self._link,
                self._topology.shard_queue(shard),
                shard=shard,
                prefetch=prefetch,
                counters=self._counters,
                deliver=self._deliver,
                ended=self._on_end,
            )

    def _release(self, channel: ShardChannel) -> None:
        if not channel.is_closing:
            channel.stop()
            task = asyncio.create_task(self._let_go(channel))
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)

    async def _let_go(self, channel: ShardChannel) -> None:
        await channel.release()
        if self._channels.get(channel.shard) is channel:
            del self._channels[channel.shard]
        self._wake()

    def _on_end(self, channel: ShardChannel) -> None:
        """Handle a channel that can deliver no more: it was closed, its consumer was cancelled, or it was let go."""
        if not channel.is_closing:
            # Repeated failures are one interruption, which began with the first.
            self._interrupted_at = self._interrupted_at or time.monotonic()
            # Deliveries of a channel that is still open can be settled on it.
            self._release(channel)
        self._wake()

    async def _prepare(self, channel: AbstractChannel) -> None:
        await declare_missing(self._link, self._topology)
        await compare(self._link, self._topology)
        wire = await self._link.wire_of(channel)
        wire.closing.add_done_callback(lambda _: self._on_lost())

    def _on_lost(self) -> None:
        self._interrupted_at = self._interrupted_at or time.monotonic()
        self._wake()

    def _on_peers(self) -> None:
        count, self._peer_count = self._peer_count, len(self._peers.names)
        if self._joining is None and self._peer_count <= count:
            self._wake()  # what a process has left is consumed by none
            return
        now = (loop := asyncio.get_running_loop()).time()
        if self._joining is None:
            self._joining_until = now + _LONGEST_JOINING_SECONDS
        else:
            self._joining.cancel()
        self._joining = loop.call_at(min(now + _JOINING_SECONDS, self._joining_until), self._have_joined)

    def _have_joined(self) -> None:
        self._joining = None
        self._wake()

    def _wake(self) -> None:
        self._due.set()

    def _tell(self, share: tuple[int, ...], processes: int) -> None:
        if self._told != (told := (tuple(sorted(share)), processes)):
            self._told = told
            shards = ", ".join(map(str, told[0])) or "none"
            _log.info(
                "%d workers share the %d shards of %s; this one consumes: %s",
                processes,
                self._shards,
                self._topology.queue,
                shards,
            )


def _is_far(prefetch: int, wanted: int) -> bool:
    return max(prefetch, wanted) >= _WORTH_REOPENING * min(prefetch, wanted)
