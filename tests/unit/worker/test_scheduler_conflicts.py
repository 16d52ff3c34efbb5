"""The scheduler when others are faster: decided again, on the primary, as often as is allowed."""

import asyncio

import pytest

from eventstore import (
    ConcurrencyConflict,
    Consistency,
    Event,
    Filter,
    OutcomeKind,
)
from tests.unit.worker.staged import StagedStore, command, counted, intruder, others_come
from tests.unit.worker.tally import domain
from worker.counters import Counters
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
async def test_a_rejection_from_a_stale_replica_does_not_stand(
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


async def test_an_unchanged_from_a_stale_replica_does_not_stand(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    await store.append([counted()])
    store.freeze_replica()
    await store.append([Event(type="Forgotten", payload={"Key": "a"})])
    answer = await scheduler.process(command("CountOnce", Key="a"))
    assert answer.attempts == 2
    assert answer.receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert (counters.conflicts, counters.stale_conflicts) == (1, 1)


async def test_an_unchanged_from_a_position_that_moved_is_decided_again(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    await store.append([counted()])
    store.after_query = [intruder(store)]
    answer = await scheduler.process(command("CountOnce", Key="a"))
    assert answer.attempts == 2
    assert answer.receipt.outcome.kind is OutcomeKind.UNCHANGED
    assert answer.receipt.position.number == 2
    # The read was not from a replica, which therefore is not to blame.
    assert (counters.conflicts, counters.stale_conflicts) == (1, 0)


async def test_a_group_whose_boundary_changed_meanwhile_is_decided_again(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    # The first is alone; the others read together, and somebody else is faster than all of them.
    store.after_query = [others_come, others_come, intruder(store)]
    messages = [command("Count", Key="a", Limit=4) for _ in range(4)]
    answers = await asyncio.gather(*(scheduler.process(message) for message in messages))
    kinds = [answer.receipt.outcome.kind for answer in answers]
    assert kinds.count(OutcomeKind.ACCEPTED) == 3
    assert kinds.count(OutcomeKind.REJECTED) == 1
    assert counters.conflicts > 0
    assert len([event async for event in store.read(Filter.matching_any_event()) if event.type == "Counted"]) == 4


async def test_conflicts_without_end_are_raised_after_the_attempts_allowed(
    store: StagedStore, counters: Counters
) -> None:
    store.after_query = [intruder(store) for _ in range(99)]
    scheduler = Scheduler(store, domain, Settings(worker_conflict_attempts=3), counters)
    with pytest.raises(ConcurrencyConflict) as raised:
        await scheduler.process(command("Count", Key="a"))
    assert raised.value.sequence_number == 3
    assert (counters.attempts, counters.conflicts) == (3, 3)


async def test_conflicts_are_not_tried_again_beyond_the_time_allowed(store: StagedStore, counters: Counters) -> None:
    store.after_query = [intruder(store) for _ in range(99)]
    scheduler = Scheduler(store, domain, Settings(worker_conflict_seconds=0), counters)
    with pytest.raises(ConcurrencyConflict):
        await scheduler.process(command("Count", Key="a"))
    assert counters.attempts == 1


async def test_concurrent_commands_of_many_processes_each_have_their_own_attempts(store: StagedStore) -> None:
    counters = Counters()
    settings = Settings(worker_conflict_attempts=100, worker_conflict_seconds=50)
    processors = [Scheduler(store, domain, settings, counters) for _ in range(20)]

    async def yielding() -> None:
        await asyncio.sleep(0)

    store.after_query = [yielding] * 10_000
    answer = await asyncio.gather(
        *(scheduler.process(command("Count", Key="a", Limit=99)) for scheduler in processors)
    )
    assert sorted(answer.receipt.first or 0 for answer in answer) == list(range(1, 21))
    assert counters.attempts == sum(answer.attempts for answer in answer)
    assert counters.conflicts > 0


async def test_concurrent_commands_of_one_process_take_turns_and_do_not_conflict(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    async def yielding() -> None:
        await asyncio.sleep(0)

    store.after_query = [yielding] * 20
    answer = await asyncio.gather(*(scheduler.process(command("Count", Key="a", Limit=99)) for _ in range(20)))
    assert [answer.receipt.first for answer in answer] == list(range(1, 21))
    assert counters.conflicts == 0


async def test_cancellation_is_not_tried_again(store: StagedStore, counters: Counters) -> None:
    reached = asyncio.Event()

    async def block() -> None:
        reached.set()
        await asyncio.Event().wait()

    store.after_query = [intruder(store), block, block]
    task = asyncio.create_task(Scheduler(store, domain, Settings(), counters).process(command("Count", Key="a")))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counters.attempts == 2
