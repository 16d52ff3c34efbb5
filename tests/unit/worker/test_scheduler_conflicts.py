"""Conflicts in the scheduler: commands are decided again on the primary until they are recorded or time out."""

import asyncio

import pytest

from eventstore import (
    Consistency,
    Event,
    Filter,
    OutcomeKind,
)
from tests.support.domains.tally import domain
from tests.unit.worker.staged import StagedStore, command, counted, intruder
from worker.counters import Counters
from worker.errors import HandlerTimedOut
from worker.rounds import time_limits as time_limits_module
from worker.rounds.retries import ConflictRetries
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings


async def test_after_a_conflict_the_command_is_decided_again_on_the_primary(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    store.after_query = [intruder(store)]
    answer = await scheduler.process(command("Count", Key="a"))
    assert answer.attempts == 2
    assert answer.receipt.first == 2
    assert answer.receipt.outcome.details["attempts"] == 2
    assert store.consistencies == [Consistency.EVENTUAL, Consistency.STRONG]
    assert (counters.attempts, counters.conflicts) == (2, 1)


async def test_a_conflict_may_change_the_decision(store: StagedStore, scheduler: Scheduler) -> None:
    store.after_query = [intruder(store)]
    answer = await scheduler.process(command("Count", Key="a", Limit=1))
    assert answer.receipt.outcome.kind is OutcomeKind.REJECTED
    assert answer.receipt.outcome.reason == "limit reached"


async def test_an_event_outside_the_boundary_is_no_conflict(store: StagedStore, scheduler: Scheduler) -> None:
    store.after_query = [intruder(store, key="b")]
    assert (await scheduler.process(command("Count", Key="a"))).attempts == 1


@pytest.mark.parametrize("quietly", [True, False])
async def test_a_rejection_from_a_stale_replica_is_decided_again(
    store: StagedStore,
    scheduler: Scheduler,
    quietly: bool,  # noqa: FBT001  a parametrised case
) -> None:
    await store.append([counted()])
    store.freeze_replica()
    await store.append([Event(type="Forgotten", payload={"Key": "a"})])
    answer = await scheduler.process(command("Count", Key="a", Limit=1, Quietly=quietly))
    assert answer.attempts == 2
    assert answer.receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert answer.receipt.first == 3


async def test_an_unchanged_from_a_stale_replica_is_decided_again(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    await store.append([counted()])
    store.freeze_replica()
    await store.append([Event(type="Forgotten", payload={"Key": "a"})])
    answer = await scheduler.process(command("CountOnce", Key="a"))
    assert answer.attempts == 2
    assert answer.receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert (counters.conflicts, counters.stale_conflicts) == (1, 1)


async def test_an_unchanged_at_an_outdated_position_is_decided_again(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    await store.append([counted()])
    store.after_query = [intruder(store)]
    answer = await scheduler.process(command("CountOnce", Key="a"))
    assert answer.attempts == 2
    assert answer.receipt.outcome.kind is OutcomeKind.UNCHANGED
    assert answer.receipt.position.number == 2
    # The read was from the primary: no replica counts as stale.
    assert (counters.conflicts, counters.stale_conflicts) == (1, 0)


async def test_a_round_whose_boundary_changed_meanwhile_is_decided_again(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    # They read together, and another writer is faster than all of them.
    store.after_query = [intruder(store)]
    messages = [command("Count", Key="a", Limit=4) for _ in range(4)]
    answers = await asyncio.gather(*(scheduler.process(message) for message in messages))
    kinds = [answer.receipt.outcome.kind for answer in answers]
    assert kinds.count(OutcomeKind.ACCEPTED) == 3
    assert kinds.count(OutcomeKind.REJECTED) == 1
    assert counters.conflicts > 0
    assert len([event async for event in store.read(Filter.matching_any_event()) if event.type == "Counted"]) == 4


async def test_a_command_with_conflicts_is_decided_again_until_it_is_recorded(
    store: StagedStore, counters: Counters
) -> None:
    store.after_query = [intruder(store) for _ in range(4)]
    scheduler = Scheduler(store, domain, Settings(worker_conflict_attempts=100), counters)
    answer = await scheduler.process(command("Count", Key="a", Limit=5))
    assert (answer.receipt.outcome.kind, answer.receipt.first, answer.attempts) == (OutcomeKind.ACCEPTED, 5, 5)
    assert (counters.attempts, counters.conflicts) == (5, 4)
    await scheduler.close()


async def test_all_attempts_share_one_handler_timeout(
    store: StagedStore, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limits_module, "_TICK_SECONDS", 0.01)
    store.after_query = [intruder(store) for _ in range(20_000)]
    scheduler = Scheduler(store, domain, Settings(worker_handler_timeout=1.0), counters)
    # Each single attempt is much shorter, and none takes the lock.
    monkeypatch.setattr(scheduler._attempts, "_retries", ConflictRetries(longest=0.001))
    monkeypatch.setattr(scheduler._attempts, "_most_lost", 100_000)
    with pytest.raises(HandlerTimedOut, match=r"there was no answer within 1 s"):
        await scheduler.process(command("Count", Key="a"))
    assert counters.conflicts > 0
    assert await scheduler.drain(0) == 0
    await scheduler.close()


async def test_concurrent_commands_of_many_processes_each_have_their_own_attempts(store: StagedStore) -> None:
    counters = Counters()
    settings = Settings(worker_conflict_attempts=100)
    schedulers = [Scheduler(store, domain, settings, counters) for _ in range(20)]

    async def yielding() -> None:
        await asyncio.sleep(0)

    store.after_query = [yielding] * 10_000
    answers = await asyncio.gather(
        *(scheduler.process(command("Count", Key="a", Limit=99)) for scheduler in schedulers)
    )
    assert sorted(answer.receipt.first or 0 for answer in answers) == list(range(1, 21))
    assert counters.attempts == sum(answer.attempts for answer in answers)
    assert counters.conflicts > 0
    await asyncio.gather(*(scheduler.close() for scheduler in schedulers))


async def test_concurrent_commands_of_one_process_are_recorded_in_order_and_do_not_conflict(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    async def yielding() -> None:
        await asyncio.sleep(0)

    store.after_query = [yielding] * 20
    answers = await asyncio.gather(*(scheduler.process(command("Count", Key="a", Limit=99)) for _ in range(20)))
    assert [answer.receipt.first for answer in answers] == list(range(1, 21))
    assert counters.conflicts == 0


async def test_an_abandoned_command_is_not_decided_again(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def block() -> None:
        reached.set()
        await go_on.wait()

    store.after_query = [intruder(store), block]
    task = asyncio.create_task(scheduler.process(command("Count", Key="a")))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await scheduler.drain(60) == 0
    assert counters.attempts == 1
    assert [event.sequence_number async for event in store.read(Filter.matching_any_event())] == [1]
