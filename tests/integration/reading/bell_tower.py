"""Reactions and relays of the bells that run beside a test, and what they have sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from eventstore import Event, EventStore, Position
from handlers import Domain
from tests.integration.reading.projecting import Projecting, following, rows
from tests.support.amqp_client import AmqpClient
from tests.support.domains.bells import Rung, bells
from tests.support.fixtures.waiting import eventually
from worker.amqp.declaration import declare
from worker.reading.coordinator import Coordinator
from worker.reading.outlet import BrokerConnections
from worker.reading.outputs import Output
from worker.topology import Topology

QUEUE = Topology("bells").queue
BELLS = "tests.support.domains.bells:domain"


def rung(bell: str, **metadata: str) -> Event:
    return bells().to_record(Rung(bell=bell), metadata)


async def ring(store: EventStore, *names: str) -> Position:
    return (await store.append([rung(name) for name in names])).position


async def queues(client: AmqpClient, domain: str = "bells") -> None:
    """Make the queues of a domain, which nobody serves."""
    await declare(client.channel, Topology(domain))


def outputs(domain: Domain) -> list[Output]:
    reactions = [Output(domain=domain, output=each) for each in domain.reactions]
    return [*reactions, *(Output(domain=domain, output=each) for each in domain.relays)]


@asynccontextmanager
async def sending(url: str, amqp_url: str, domain: Domain, *, source: str = "") -> AsyncIterator[Coordinator]:
    """Run a domain's reactions and relays in this process."""
    outlet = BrokerConnections(
        amqp_url,
        name="sending",
        domains={domain.name: domain},
        source=source,
        max_message_bytes=1024 * 1024,
        route_seconds=0.2,
    )
    try:
        async with following(url, outputs(domain), outlet=outlet) as coordinator:
            yield coordinator
    finally:
        await outlet.close()


@asynccontextmanager
async def reacting(url: str, amqp_url: str) -> AsyncIterator[Projecting]:
    """Run the reaction in a process of its own."""
    variables = {"AMQP_URL": amqp_url, "WORKER_DOMAINS": BELLS}
    async with Projecting.running(url, "tolling", command="react", doing="reacting", **variables) as process:
        yield process


async def passed(admin_url: str, position: Position, *, name: str = "tolling") -> None:
    """Wait until one is as far as a position."""

    async def is_there() -> bool:
        found = await rows(admin_url, "SELECT number FROM reading.followers WHERE name = $1", name)
        return bool(found and found[0][0] >= position.number)

    await eventually(is_there, what=f"{name} to come to event {position.number}")


async def stopped(coordinator: Coordinator) -> str:
    """Wait until one is stopped, and return why."""

    async def is_stopped() -> bool:
        return any(running.failure is not None for running in coordinator.running.values())

    await eventually(is_stopped, what="something to be stopped")
    return next(running.failure.error for running in coordinator.running.values() if running.failure is not None)


async def taken(client: AmqpClient, queue: str = QUEUE) -> list[tuple[UUID, str]]:
    """Take what is in a queue: the ids, and the bodies."""
    found = []
    for _ in range(await client.ready(queue)):
        message = await client.take(queue)
        found.append((UUID(str(message.message_id)), message.body.decode()))
    return found
