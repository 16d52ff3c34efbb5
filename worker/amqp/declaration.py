"""The declaration: checks which exchanges and queues of a topology exist, and declares what is missing.

Checking needs no right, and changes nothing. Declaring needs the right to configure, even if nothing is missing. So a
worker declares only what it found missing, and ``worker topology declare`` everything.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused, ChannelClosed, ChannelNotFoundEntity, ConnectionCommandInvalid

from eventstore.counted import counted
from worker.amqp.connection import Link, WireChannel
from worker.errors import BrokerMisconfigured
from worker.topology import AFFINITY_HEADER, EXCHANGE, HASHING, REPORT_EXCHANGE, Topology, older

__all__ = [
    "can_have_shards",
    "compare",
    "declare",
    "declare_missing",
    "declare_report_exchange",
    "has_queue",
    "missing",
    "outdated",
]

_log = logging.getLogger(__name__)

_COMPARE_SECONDS = 5.0


async def declare(channel: AbstractChannel, topology: Topology, *, only: Collection[str] | None = None) -> None:
    """Declare a domain's exchanges, queues and bindings. Declaring them again changes nothing.

    Args:
        channel: The channel to declare on. A refusal closes it.
        topology: The exchanges, queues and bindings of the domain.
        only: Names of the exchanges and queues to declare; by default all. Bindings are always made.

    Raises:
        BrokerMisconfigured: A queue or the exchange exists with other properties, such as another number of shards; the
            channel is closed. Or the domain has shards and the broker lacks the plugin; the connection is closed.
    """
    try:
        if only is None or EXCHANGE in only:
            await channel.declare_exchange(EXCHANGE, "direct", durable=True)
        if topology.shards is not None and (only is None or topology.shard_exchange in only):
            await channel.declare_exchange(
                topology.shard_exchange, HASHING, durable=True, arguments={"hash-header": AFFINITY_HEADER}
            )
        if topology.shards is not None and (only is None or topology.peer_exchange in only):
            await channel.declare_exchange(topology.peer_exchange, "fanout", durable=True)
        for name, arguments in topology.queues():
            if only is None or name in only:
                await channel.declare_queue(name, durable=True, arguments=arguments)
        await _make_one_more(channel, topology)
    except ConnectionCommandInvalid as error:
        raise _no_plugin() from error
    except ChannelPreconditionFailed as error:
        raise _differs(topology, error) from error
    await _bind(channel, topology)


async def declare_missing(link: Link, topology: Topology) -> tuple[str, ...]:
    """Declare the exchanges and queues of a topology that are missing. Existing ones stay as they are.

    Returns:
        The names of those that were declared.

    Raises:
        BrokerMisconfigured: Something is missing, and the broker refuses the declaration; or the broker has another
            number of shards.
    """
    lacking = await missing(link, topology)
    # A retry queue that was declared for another number of shards refuses; so it is declared if a work queue is
    # missing.
    if topology.retry_queue not in lacking and any(name in lacking for name in topology.work_queues):
        lacking = (*lacking, topology.retry_queue)
    if topology.shards is not None and await has_queue(link, topology.shard_queue(topology.shards)):
        raise BrokerMisconfigured(
            f"the broker has more queues of domain {topology.domain_name} than {counted(topology.shards, 'shard')}; "
            f"{topology.way_out}"
        )
    if not lacking:
        # A user without the right to bind leaves the bindings as they are.
        with suppress(ChannelAccessRefused):
            async with link.side_channel() as channel:
                await _bind(channel, topology)
        return ()
    try:
        async with link.side_channel() as channel:
            await declare(channel, topology, only=lacking)
    except ChannelAccessRefused as error:
        raise BrokerMisconfigured(
            f"{', '.join(lacking)} of domain {topology.domain_name} cannot be made ({error}); run `worker topology "
            "declare` once, as a user that may configure them"
        ) from error
    return lacking


async def declare_report_exchange(link: Link) -> None:
    """Declare the exchange for workers' reports if it is missing.

    It does not survive a restart of the broker: publishers and receivers of reports call this for each connection.

    Raises:
        ChannelAccessRefused: It is missing, and the broker refuses the declaration.
    """
    if await _refused(
        link, (REPORT_EXCHANGE,), lambda name, wire: wire.exchange_declare(name, passive=True), ChannelNotFoundEntity
    ):
        async with link.side_channel() as channel:
            wire = await link.wire_of(channel)
            await wire.exchange_declare(REPORT_EXCHANGE, exchange_type="fanout")


async def missing(link: Link, topology: Topology) -> tuple[str, ...]:
    """Return the names of the domain's exchanges and queues that do not exist."""
    exchanges: tuple[str, ...] = (EXCHANGE,)
    if topology.shards is not None:
        exchanges = (EXCHANGE, topology.shard_exchange, topology.peer_exchange)

    def looks(name: str, wire: WireChannel) -> Awaitable[object]:
        declare_it = wire.exchange_declare if name in exchanges else wire.queue_declare
        return declare_it(name, passive=True)

    return await _refused(link, (*exchanges, *(name for name, _ in topology.queues())), looks, ChannelNotFoundEntity)


async def outdated(link: Link, topology: Topology) -> tuple[str, ...]:
    """Return the names of the domain's queues that an older version declared. All of its queues exist.

    A queue keeps the properties that it was declared with. They can only be seen by declaring it again.

    Raises:
        BrokerMisconfigured: A queue has properties that no version declares.
        ChannelAccessRefused: The user lacks the right to configure a queue.
    """
    arguments = dict(topology.queues())

    def as_now(name: str, wire: WireChannel) -> Awaitable[object]:
        return wire.queue_declare(name, durable=True, arguments=arguments[name])

    found = await _refused(link, tuple(arguments), as_now, ChannelPreconditionFailed)
    try:
        async with link.side_channel() as channel:
            for name in found:
                await channel.declare_queue(name, durable=True, arguments=older(name, arguments[name]))
    except ChannelPreconditionFailed as error:
        raise _differs(topology, error) from error
    return found


async def compare(link: Link, topology: Topology) -> None:
    """Check the properties of the existing queues, as far as rights allow, and log which an older version declared.

    Those queues are used as they are. A queue that does not answer, as without a majority of its nodes, is skipped.

    Raises:
        BrokerMisconfigured: A queue has properties that no version declares.
    """
    with suppress(ChannelAccessRefused, TimeoutError):
        async with asyncio.timeout(_COMPARE_SECONDS):
            found = await outdated(link, topology)
        if found:
            names = ", ".join(found)
            _log.warning(
                "declared by an older version: %s; docs/broker.md says what a policy has to add to them", names
            )


async def has_queue(link: Link, name: str) -> bool:
    """Whether a queue of that name exists."""
    return not await _refused(
        link, (name,), lambda name, wire: wire.queue_declare(name, passive=True), ChannelNotFoundEntity
    )


async def can_have_shards(link: Link) -> None:
    """Check that the broker supports sharding. Nothing is changed there; the connection may be closed by the check.

    Raises:
        BrokerMisconfigured: The broker lacks the plugin.
        BrokerUnavailable: The broker cannot be reached.
    """
    wire = await link.wire()
    # The default exchange can never be declared, but the broker checks the exchange type first.
    try:
        await wire.exchange_declare("", exchange_type=HASHING)
    except ConnectionCommandInvalid as error:
        raise _no_plugin() from error
    except ChannelAccessRefused:
        return


async def _make_one_more(channel: AbstractChannel, topology: Topology) -> None:
    """Make sure that the queue declared last is none of the domain's own.

    RabbitMQ 3.10 persists a new quorum queue only with the next one, or after some seconds. If it is killed before
    that, it starts again with a queue that never answers.
    """
    # Unique to this caller: a broker that is asked for a queue which another connection deletes may close the
    # connection. If it is not deleted here, it expires.
    name = f"{topology.spare_queue}.{secrets.token_hex(4)}"
    await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum", "x-expires": 60_000})
    await channel.queue_delete(name)


async def _bind(channel: AbstractChannel, topology: Topology) -> None:
    if topology.has_schedule:
        # So that a publisher of commands may also schedule them.
        queue = await channel.get_queue(topology.schedule_queue, ensure=False)
        await queue.bind(EXCHANGE, topology.schedule_queue)
    if topology.shards is None:
        queue = await channel.get_queue(topology.queue, ensure=False)
        await queue.bind(EXCHANGE, topology.routing_key)
        return
    for name in topology.work_queues:
        queue = await channel.get_queue(name, ensure=False)
        # The binding key is the shard's weight. Changing it, or removing a binding, would move keys to other shards.
        await queue.bind(topology.shard_exchange, "1")
    # Last: the shard of a key is stable only when all shards are bound.
    shards = await channel.get_exchange(topology.shard_exchange, ensure=False)
    await shards.bind(EXCHANGE, topology.routing_key)
    # The binding from before the domain had shards would copy each command to a queue without a consumer.
    plain = await channel.get_queue(topology.queue, ensure=False)
    await plain.unbind(EXCHANGE, topology.routing_key)


async def _refused(
    link: Link,
    names: Sequence[str],
    ask: Callable[[str, WireChannel], Awaitable[object]],
    refusal: type[ChannelClosed],
) -> tuple[str, ...]:
    """Send a request for each name; return the names that the broker refuses. Each refusal closes a channel."""
    left = deque(names)
    found = []
    while left:
        async with link.side_channel() as channel:
            wire = await link.wire_of(channel)
            try:
                while left:
                    await ask(left[0], wire)
                    left.popleft()
            except refusal:
                found.append(left.popleft())
    return tuple(found)


def _differs(topology: Topology, error: ChannelPreconditionFailed) -> BrokerMisconfigured:
    return BrokerMisconfigured(
        f"the queues of domain {topology.domain_name} exist with other properties ({error}); "
        + ("wait until they are empty, delete them, and start again" if topology.shards is None else topology.way_out)
    )


def _no_plugin() -> BrokerMisconfigured:
    return BrokerMisconfigured(
        "RabbitMQ lacks the plugin that spreads commands over shards: run `rabbitmq-plugins enable "
        "rabbitmq_consistent_hash_exchange` on each of its nodes"
    )
