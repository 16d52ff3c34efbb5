"""A view whose reads are slow although they find few events is read separately: others do not wait for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import Field

from eventstore import EventStream, Filter, P
from handlers import Accepted, Command, Decider, Domain, DomainEvent, View
from tests.unit.worker.rounds.gated_store import GatedStore, all_wait, sent
from tests.unit.worker.staged import command
from worker.rounds import part_reads
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings

QUICK, SLOW = 0.003, 0.25


class Take(Command):
    key: str = Field(alias="Key")


class Audit(Command):
    key: str = Field(alias="Key")


class Taken(DomainEvent):
    key: str = Field(alias="Key")


def taken_events(key: str) -> Filter:
    return Filter.matching().any_event_type_of("Taken").and_any_predicate_of(P("Key", key))


def audit_events(key: str) -> Filter:
    return Filter.matching().any_event_type_of("Taken").and_any_predicate_of(P("Audit", key))


taken = View(name="taken", events=taken_events, initial=lambda _: 0, evolve=lambda count, _: count + 1)
audit = View(name="audit", events=audit_events, initial=lambda _: 0, evolve=lambda count, _: count + 1)
domain = Domain(
    name="stock",
    views=(taken, audit),
    deciders=(
        Decider(
            command=Take,
            parts=lambda command: taken.at(command.key),
            decide=lambda command, _: Accepted(events=(Taken(key=command.key),)),
        ),
        Decider(
            command=Audit,
            parts=lambda command: audit.at(command.key),
            decide=lambda command, _: Accepted(events=(Taken(key=command.key),)),
        ),
    ),
    events=(Taken,),
)


class SlowStore(GatedStore):
    """Answers reads of audits slowly, by its own clock.

    Attributes:
        now: The clock.
        may_audit: Set while reads of audits are answered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.may_audit = asyncio.Event()
        self.may_audit.set()

    async def query_many(self, filters: Sequence[Filter], **options: Any) -> list[EventStream]:
        is_audit = any(each.key == "Audit" for filter_ in filters for each in filter_.predicates)
        self.now += SLOW if is_audit else QUICK
        if is_audit:
            await self.may_audit.wait()
        return await super().query_many(filters, **options)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> SlowStore:
    store = SlowStore()
    monkeypatch.setattr(part_reads, "time", SimpleNamespace(monotonic=lambda: store.now))
    return store


@pytest.fixture
async def scheduler(store: SlowStore) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, domain, Settings())
    yield scheduler
    await scheduler.close()


@pytest.mark.parametrize("audits", [1, 50])
async def test_no_command_waits_for_a_slow_read_of_another_view(
    store: SlowStore, scheduler: Scheduler, audits: int
) -> None:
    """Even if only the slow view was read often before."""
    await scheduler.process(command("Take", Key="a"))
    for place in range(audits):
        await scheduler.process(command("Audit", Key=f"{place}"))
    store.may_audit.clear()
    slow = sent(scheduler, command("Audit", Key="slow"))
    await all_wait()
    quick = sent(scheduler, command("Take", Key="b"))
    await all_wait()
    assert (quick.done(), slow.done()) == (True, False)
    store.may_audit.set()
    await asyncio.gather(quick, slow)


async def test_a_view_that_has_become_fast_shares_statements_again(scheduler: Scheduler) -> None:
    await scheduler.process(command("Take", Key="a"))
    await scheduler.process(command("Audit", Key="a"))
    lanes = scheduler._attempts._reads._lanes
    assert lanes.of("audit", is_strong=False).view == "audit"
    lanes.measure(lanes.of("audit", is_strong=False), scheduler._states.use([audit.at("a")]), QUICK)
    assert lanes.of("audit", is_strong=False).view is None
