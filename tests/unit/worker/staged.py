"""Staged races for the tests of the scheduler: hooks between a query and its append, on a memory store."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from eventstore import (
    Append,
    Consistency,
    Event,
    EventStoreError,
    EventStream,
    Filter,
    MemoryEventStore,
    OutcomeUnknown,
    Position,
    Receipt,
)
from tests.support.domains.tally import domain
from worker.counters import Counters
from worker.message import CommandMessage
from worker.rounds import rounds as rounds_module
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings

Hook = Callable[[], Awaitable[None]]


class StagedStore(MemoryEventStore):
    """Runs one hook after each query while any are left; may answer eventual reads from a frozen copy."""

    def __init__(self) -> None:
        super().__init__()
        self.after_query: list[Hook] = []
        self.consistencies: list[Consistency] = []
        self.replica: MemoryEventStore | None = None
        self.unknown_outcomes = 0
        self.chains: list[int] = []

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
        self.consistencies.append(consistency)
        if consistency is Consistency.EVENTUAL and self.replica is not None:
            found = await self.replica.query_many(
                filters, after=after, known=known, most=most, min_position=min_position
            )
            streams = [replace(stream, replica=True) for stream in found]
        else:
            streams = await super().query_many(filters, after=after, known=known, most=most, min_position=min_position)
        if self.after_query:
            await self.after_query.pop(0)()
        return streams

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        self.chains.append(len(appends))
        verdicts = await super().append_chain(appends)
        if self.unknown_outcomes:
            self.unknown_outcomes -= 1
            raise OutcomeUnknown("the connection broke")
        return verdicts

    def freeze_replica(self) -> None:
        """Freeze the copy for eventual reads at the present head."""
        self.replica = MemoryEventStore()
        self.replica._log.events = list(self._log.events)


def command(kind: str, command_id: UUID | None = None, **body: Any) -> CommandMessage:
    identity = command_id or uuid4()
    return CommandMessage(
        command_id=identity,
        command_type=kind,
        body=json.dumps(body).encode(),
        correlation_id="visit",
        causation_id=str(identity),
        headers={},
    )


def counted(key: str = "a") -> Event:
    return Event(type="Counted", payload={"Key": key})


@pytest.fixture
def store() -> StagedStore:
    return StagedStore()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
async def scheduler(store: StagedStore, counters: Counters) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, domain, Settings(), counters)
    yield scheduler
    await scheduler.close()


@pytest.fixture
def one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put all waiting commands into one round, independently of the machine's speed."""
    monkeypatch.setattr(rounds_module, "_LONGEST_DECIDING", 60.0)


def intruder(store: StagedStore, key: str = "a") -> Hook:
    async def intrude() -> None:
        await store.append([counted(key)])

    return intrude


async def others_come() -> None:
    """Run the loop, so that other commands arrive and wait."""
    for _ in range(5):
        await asyncio.sleep(0)
