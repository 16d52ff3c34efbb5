"""A domain for tests of reading: jars of coins, on a store that records its reads and can rewrite its history."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from eventstore import (
    Consistency,
    Event,
    EventStream,
    Filter,
    MemoryEventStore,
    P,
    Position,
    PositionNotReached,
    RecordedEvent,
)
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, View


class Drop(Command):
    jar: str
    coin: int


class Dropped(DomainEvent):
    jar: str
    coin: int


@dataclass(frozen=True, slots=True)
class Jar:
    """The state of a jar."""

    name: str
    coins: int = 0
    value: int = 0


def coins_of(name: str) -> Filter:
    return Filter.matching().any_event_type_of("Dropped").and_any_predicate_of(P("jar", name))


def all_coins() -> Filter:
    return Filter.matching().any_event_type_of("Dropped")


def after_drop(state: Jar, event: DomainEvent) -> Jar:
    return (
        replace(state, coins=state.coins + 1, value=state.value + event.coin) if isinstance(event, Dropped) else state
    )


def one_more(coins: int, _: DomainEvent) -> int:
    return coins + 1


def no_coins() -> int:
    return 0


jar = View(name="jar", events=coins_of, initial=Jar, evolve=after_drop)
saved = View(name="saved", events=coins_of, initial=Jar, evolve=after_drop, stored_every=10)
total = View(name="total", events=all_coins, initial=no_coins, evolve=one_more, stored_every=1000)


def decide(command: Drop, _: Jar) -> Decision:
    return Accepted(events=(Dropped(jar=command.jar, coin=command.coin),))


domain = Domain(
    name="jars",
    views=(jar, saved, total),
    deciders=(Decider(command=Drop, parts=lambda command: jar.at(command.jar), decide=decide),),
    events=(Dropped,),
)


def dropped(name: str = "a", coin: int = 1) -> Event:
    return Event(type="Dropped", payload={"jar": name, "coin": coin})


class WatchedStore(MemoryEventStore):
    """Records the reads: each filter's position, and how many events were returned."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []
        self.statements = 0
        self.streamed: list[Filter] = []
        self.least: list[Position | None] = []
        self.refused: list[Position | None] = []
        self.answers_as_replica = False
        self.gate: asyncio.Event | None = None
        self.began = asyncio.Event()

    async def query_many(
        self,
        filters: Sequence[Filter],
        *,
        after: Sequence[Position] | None = None,
        known: Sequence[int] = (),
        most: int | None = None,
        consistency: Consistency = Consistency.STRONG,
        min_position: Position | None = None,
    ) -> list[EventStream]:
        try:
            streams = await super().query_many(
                filters, after=after, known=known, most=most, consistency=consistency, min_position=min_position
            )
        except PositionNotReached:
            self.refused.append(min_position)
            raise
        if self.answers_as_replica and consistency is Consistency.EVENTUAL:
            streams = [structs.replace(stream, replica=True) for stream in streams]
        self.statements += 1
        numbers = [position.number for position in after or ()]
        self.asked += [(number, len(stream.events)) for number, stream in zip(numbers, streams, strict=True)]
        return streams

    async def read(
        self,
        boundary: Filter,
        *,
        after: Position | None = None,
        up_to: int | None = None,
        min_position: Position | None = None,
        batch_size: int = 1000,
        consistency: Consistency = Consistency.STRONG,
    ) -> AsyncIterator[RecordedEvent]:
        self.streamed.append(boundary)
        self.least.append(min_position)
        self.began.set()
        if self.gate is not None:
            await self.gate.wait()
        events = super().read(
            boundary,
            after=after,
            up_to=up_to,
            min_position=min_position,
            batch_size=batch_size,
            consistency=consistency,
        )
        async for event in events:
            yield event

    def rewrite(self, *events: Event, keeping: int) -> None:
        """Fail over to a standby that has only the first events, and record others there."""
        self._log.events = self._log.events[:keeping]
        for event in events:
            self._log.events.append(event.recorded(len(self._log.events) + 1, token=99))


async def fill(store: MemoryEventStore, *events: Any) -> None:
    await store.append(events)
