"""The sink of a reaction: a command without a queue yet is sent again for a limited time."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

from handlers import Domain
from tests.support.domains.bells import Rung, bells, tolling
from worker.errors import Unroutable
from worker.reading.reaction_sink import ReactionSink

DOMAIN: Domain = bells(reactions=(tolling,))


class Exchange:
    """A publisher whose broker has no queue for the first few attempts."""

    def __init__(self, lacking: int) -> None:
        self.lacking = lacking
        self.sent: list[UUID] = []

    async def publish(self, *_: object, command_id: UUID, **__: object) -> UUID:
        self.sent.append(command_id)
        if len(self.sent) <= self.lacking:
            raise Unroutable("no queue takes messages for commands:bells; nothing was stored")
        return command_id


def sink(exchange: Exchange, seconds: float) -> ReactionSink:
    outlet: Any = SimpleNamespace(publisher=exchange, domains={DOMAIN.name: DOMAIN}, route_seconds=seconds)
    session: Any = None
    return ReactionSink(DOMAIN, tolling, session, outlet)


async def test_a_command_is_sent_again_until_its_queue_exists() -> None:
    exchange = Exchange(2)
    reaction = sink(exchange, 60.0)
    messages = reaction.made(DOMAIN.to_record(Rung(bell="a"), {}).recorded(1, 1))
    assert await reaction.send(messages) is None
    assert exchange.sent == [messages[0].command_id] * 3


async def test_a_command_without_a_queue_in_time_is_reported() -> None:
    exchange = Exchange(1000)
    reaction = sink(exchange, 0.0)
    unsent = await reaction.send(reaction.made(DOMAIN.to_record(Rung(bell="a"), {}).recorded(1, 1)))
    assert unsent is not None
    assert isinstance(unsent.error, Unroutable)
