"""The declaration: what a topology names is looked for on the broker, and made where it is missing.

Looking needs no right, and changes nothing. Declaring needs the right to configure, also where nothing is missing; so a
worker declares only what it has missed, and a person, by ``worker topology declare``, all of it.
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
        channel: Where. A refusal closes it.
        topology: What.
        only: Which exchanges and queues to declare; by default all. Bindings are made in any case.

    Raises:
        BrokerMisconfigured: A queue or the exchange exists with other properties, among them another number of shards;
            or there are to be shards, and the broker lacks the plugin. The channel is closed, for want of the plugin
            the connection.
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


async def declare_missing(link: Link, topology: Topology) -> None:
    """See that all that a topology names is there, and declare what is not. What is there stays as it is.

    Raises:
        BrokerMisconfigured: Something is missing, and the broker refuses to make it; or the broker has another number
            of shards.
    """
    lacking = await missing(link, topology)
    # The retry queue refuses another number of shards: where one of these is missing, it is asked.
    if topology.retry_queue not in lacking and any(name in lacking for name in topology.work_queues):
        lacking = (*lacking, topology.retry_queue)
    if topology.shards is not None and await has_queue(link, topology.shard_queue(topology.shards)):
        raise BrokerMisconfigured(
            f"the queues of domain {topology.domain_name} are more than {counted(topology.shards, 'shard')}; "
            f"{topology.way_out}"
        )
    if not lacking:
        # Who may not bind leaves the bindings as they are.
        with suppress(ChannelAccessRefused):
            async with link.side_channel() as channel:
                await _bind(channel, topology)
        return
    try:
        async with link.side_channel() as channel:
            await declare(channel, topology, only=lacking)
    except ChannelAccessRefused as error:
        raise BrokerMisconfigured(
            f"{', '.join(lacking)} of domain {topology.domain_name} cannot be made ({error}); run `worker topology "
            "declare` once, as a user that may configure them"
        ) from error


async def declare_report_exchange(link: Link) -> None:
    """See that there is where workers report to, and declare it if there is not.

    It is gone with the broker's end: who publishes there, or listens, does this for each connection.

    Raises:
        ChannelAccessRefused: It is not there, and the broker refuses to make it.
    """
    if await _refused(
        link, (REPORT_EXCHANGE,), lambda name, wire: wire.exchange_declare(name, passive=True), ChannelNotFoundEntity
    ):
        async with link.side_channel() as channel:
            wire = await link.wire_of(channel)
            await wire.exchange_declare(REPORT_EXCHANGE, exchange_type="fanout")


async def missing(link: Link, topology: Topology) -> tuple[str, ...]:
    """Return which of a domain's exchanges and queues are not there."""
    exchanges: tuple[str, ...] = (EXCHANGE,)
    if topology.shards is not None:
        exchanges = (EXCHANGE, topology.shard_exchange, topology.peer_exchange)

    def looks(name: str, wire: WireChannel) -> Awaitable[object]:
        declare_it = wire.exchange_declare if name in exchanges else wire.queue_declare
        return declare_it(name, passive=True)

    return await _refused(link, (*exchanges, *(name for name, _ in topology.queues())), looks, ChannelNotFoundEntity)


async def outdated(link: Link, topology: Topology) -> tuple[str, ...]:
    """Return which of a domain's queues an older build has made. All of them are there.

    A queue keeps the properties that it was made with; to declare it is how to see them.

    Raises:
        BrokerMisconfigured: A queue has properties that no build gives it.
        ChannelAccessRefused: The right to configure them is missing.
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
    """See whether the queues that are there are ours, as far as we may, and log which of them an older build has made.

    Those serve as they are. A queue that does not answer, as without a majority of its nodes, is not judged.

    Raises:
        BrokerMisconfigured: A queue has properties that no build gives it.
    """
    with suppress(ChannelAccessRefused, TimeoutError):
        async with asyncio.timeout(_COMPARE_SECONDS):
            found = await outdated(link, topology)
        if found:
            names = ", ".join(found)
            _log.warning("made by an older version: %s; docs/broker.md says what a policy has to add to them", names)


async def has_queue(link: Link, name: str) -> bool:
    """Whether there is a queue of that name."""
    return not await _refused(
        link, (name,), lambda name, wire: wire.queue_declare(name, passive=True), ChannelNotFoundEntity
    )


async def can_have_shards(link: Link) -> None:
    """See whether a broker can spread commands over shards. Nothing is changed there; the link may be lost.

    Raises:
        BrokerMisconfigured: It lacks the plugin.
        BrokerUnavailable: It is out of reach.
    """
    wire = await link.wire()
    # The default exchange can never be declared. But first the broker looks whether it knows the type.
    try:
        await wire.exchange_declare("", exchange_type=HASHING)
    except ConnectionCommandInvalid as error:
        raise _no_plugin() from error
    except ChannelAccessRefused:
        return


async def _make_one_more(channel: AbstractChannel, topology: Topology) -> None:
    """See that none of our queues is the one that was made last.

    What RabbitMQ 3.10 notes of a new quorum queue is safe with what it notes of the next one, or after some seconds. A
    broker that is killed before that starts again with a queue that answers nobody, ever.
    """
    # Of this caller alone: a broker that is asked for a queue which another connection deletes may end the connection.
    # Where nobody is left to delete it, it is gone by itself.
    name = f"{topology.spare_queue}.{secrets.token_hex(4)}"
    await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum", "x-expires": 60_000})
    await channel.queue_delete(name)


async def _bind(channel: AbstractChannel, topology: Topology) -> None:
    if topology.has_schedule:
        # So that who may send commands may also have them sent later.
        queue = await channel.get_queue(topology.schedule_queue, ensure=False)
        await queue.bind(EXCHANGE, topology.schedule_queue)
    if topology.shards is None:
        queue = await channel.get_queue(topology.queue, ensure=False)
        await queue.bind(EXCHANGE, topology.routing_key)
        return
    for name in topology.work_queues:
        queue = await channel.get_queue(name, ensure=False)
        # The binding's key is the shard's weight. Another one would move keys, and so would taking a binding away.
        await queue.bind(topology.shard_exchange, "1")
    # Last: a key stays in its shard only when all of them are bound.
    shards = await channel.get_exchange(topology.shard_exchange, ensure=False)
    await shards.bind(EXCHANGE, topology.routing_key)
    # What was there before the domain had shards would take a copy of each command, and nobody consumes it.
    plain = await channel.get_queue(topology.queue, ensure=False)
    await plain.unbind(EXCHANGE, topology.routing_key)


async def _refused(
    link: Link,
    names: Sequence[str],
    ask: Callable[[str, WireChannel], Awaitable[object]],
    refusal: type[ChannelClosed],
) -> tuple[str, ...]:
    """Ask the broker for each of some names; return those that it refuses. Each refusal costs a channel."""
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
        + ("let them run empty, delete them, and start again" if topology.shards is None else topology.way_out)
    )


def _no_plugin() -> BrokerMisconfigured:
    return BrokerMisconfigured(
        "RabbitMQ lacks the plugin that spreads commands over shards: run `rabbitmq-plugins enable "
        "rabbitmq_consistent_hash_exchange` on each of its nodes"
    )
