"""An outage of the store of any length: nothing is kept of commands whose time is over."""

import gc
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
from opentelemetry.context import Context

from eventstore import MemoryEventStore, StoreUnavailable
from tests.support.domains.tally import domain
from tests.unit.worker.rounds.gated_store import GatedStore, all_wait
from tests.unit.worker.staged import command
from worker.rounds.job import Job
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer


class Outage(MemoryEventStore):
    """A store with outages."""

    def begin(self) -> None:
        def fail(*_: Any, **__: Any) -> NoReturn:
            raise StoreUnavailable("down")

        for call in ("append", "append_chain", "query_many", "receipts"):
            setattr(self, call, fail)


def jobs() -> Sequence[Job]:
    """All live job objects."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Job)]


@pytest.mark.parametrize(
    ("key", "may_be_recorded"),
    [("known", False), ("unknown", False), ("known", True)],
    ids=["to be decided", "to be read for", "to be looked up"],
)
async def test_commands_held_for_the_maximum_time_are_released_during_an_outage(
    key: str, *, may_be_recorded: bool
) -> None:
    store = Outage()
    scheduler = Scheduler(store, domain, Settings())
    await scheduler.process(command("Count", Key="known"))
    store.begin()
    ended: list[type] = []

    def submit(count: int) -> None:
        for _ in range(count):
            scheduler.submit(
                Job(
                    command("Count", Key=key),
                    lambda _, happened: ended.append(type(happened)),
                    context=Context(),
                    may_be_recorded=may_be_recorded,
                    held_until=0.0,
                )
            )

    # The read that fails at the end of the outage is the last one.
    submit(1)
    await all_wait()
    assert scheduler._breaker.is_open
    before = len(jobs())
    for _ in range(3):
        submit(20)
        await all_wait()
        scheduler._limits._tick()
    assert ended == [StoreUnavailable] * 61
    assert len(jobs()) <= before
    await scheduler.close()
    await scheduler._breaker.close()


async def test_a_command_that_is_being_recorded_ends_with_its_answer_though_its_time_is_over() -> None:
    store = GatedStore()
    scheduler = Scheduler(store, domain, Settings())
    ended: list[object] = []
    store.may_answer.clear()
    scheduler.submit(
        Job(command("Count", Key="a"), lambda _, happened: ended.append(happened), context=Context(), held_until=0.0)
    )
    await all_wait()
    assert store.chains == [1]
    scheduler._limits._tick()
    scheduler._limits._seconds = 0.0
    scheduler._limits._tick()
    # Half of the time is over without an answer of the store.
    assert scheduler._breaker.is_open
    scheduler._limits._tick()
    assert ended == []
    store.may_answer.set()
    await all_wait()
    (answer,) = ended
    assert isinstance(answer, Answer)
    assert answer.receipt.first == 1
    await scheduler.close()
    await scheduler._breaker.close()
