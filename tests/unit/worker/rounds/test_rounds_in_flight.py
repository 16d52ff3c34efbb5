"""Rounds that are decided on top of a round in flight, and what happens when that one fails."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
from pydantic import Field

from eventstore import Filter, IdempotencyKeyReused, Outcome, OutcomeKind
from handlers import Accepted, Command, Decider, Decision, Rejected, View
from tests.support.domains.tally import Counted, domain
from tests.unit.worker.rounds.gated_store import GatedStore, all_wait, sent
from tests.unit.worker.staged import command, counted
from worker.counters import Counters
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer

ACCEPTED, REJECTED = OutcomeKind.ACCEPTED, OutcomeKind.REJECTED


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
async def scheduler(store: GatedStore, counters: Counters) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, domain, Settings(), counters)
    yield scheduler
    store.may_record.set()
    store.may_answer.set()
    await scheduler.close()


async def test_the_next_round_is_decided_on_top_of_the_one_in_flight_and_sent_after_its_answer(
    store: GatedStore, scheduler: Scheduler, counters: Counters
) -> None:
    store.may_answer.clear()
    first = sent(scheduler, command("Count", Key="a"))
    await all_wait()
    second = sent(scheduler, command("Count", Key="a", Limit=1))
    await all_wait()
    assert (counters.attempts, len(store.chains)) == (2, 1)
    store.may_answer.set()
    assert (await first).receipt.outcome.kind is ACCEPTED
    assert (await second).receipt.outcome.kind is REJECTED
    # Decided once, from one read.
    assert (counters.attempts, store.chains, len(store.consistencies)) == (2, [1, 1], 1)


async def test_a_command_that_relied_on_a_refused_event_is_decided_again_without_spending_an_attempt(
    store: GatedStore, scheduler: Scheduler, counters: Counters
) -> None:
    store.may_record.clear()
    loser = sent(scheduler, command("Count", Key="a", Limit=9))
    await all_wait()
    relying = sent(scheduler, command("Count", Key="a", Limit=9))
    await all_wait()
    await store.append([counted("a")])
    store.may_record.set()
    assert (await loser).attempts == 2
    assert (await relying).attempts == 1
    assert counters.conflicts == 1
    assert len(store._log.events) == 3


async def test_a_command_decided_before_a_part_was_read_again_is_decided_again_without_spending_an_attempt(
    store: GatedStore, scheduler: Scheduler, counters: Counters
) -> None:
    """As when a shard is assigned again while a command of another shard waits for its round."""
    store.may_answer.clear()
    first = sent(scheduler, command("Count", Key="a", Limit=9))
    await all_wait()
    waiting = sent(scheduler, command("Count", Key="a", Limit=9))
    await all_wait()
    scheduler.doubt_states()
    reading = sent(scheduler, command("Count", Key="a", Limit=9))
    await all_wait()
    assert (counters.attempts, len(store.consistencies)) == (3, 2)
    store.may_answer.set()
    answers = [await each for each in (first, waiting, reading)]
    assert [(answer.receipt.first, answer.attempts) for answer in answers] == [(1, 1), (2, 1), (3, 1)]
    # Five decisions for three events, although there was no other writer: the two commands that waited were decided
    # again, since their states were replaced, although by equal ones.
    assert (counters.attempts, counters.conflicts, len(store._log.events)) == (5, 0, 3)


async def test_a_command_whose_parts_must_be_read_first_does_not_count_as_decided(
    store: GatedStore, counters: Counters
) -> None:
    scheduler = Scheduler(store, domain, Settings(worker_concurrency=1), counters)
    store.may_answer.clear()
    # The first is being recorded, the second waits for it, and the third has no free slot.
    messages = [command("Count", Key="a", Limit=9) for _ in range(3)]
    waiting = []
    for message in messages:
        waiting.append(sent(scheduler, message))
        await all_wait()
    assert counters.attempts == 2
    scheduler._states.forget()
    store.may_answer.set()
    assert [(await each).receipt.first for each in waiting] == [1, 2, 3]
    # The second is decided again: its states are gone.
    assert counters.attempts == 4
    await scheduler.close()


async def test_the_next_round_is_sent_only_after_a_conflict_is_known(
    store: GatedStore, scheduler: Scheduler, counters: Counters
) -> None:
    store.may_record.clear()
    # It records nothing: no command relies on it, but others read the same part.
    loser = sent(scheduler, command("Count", Key="a", Limit=0, Quietly=True))
    await all_wait()
    neighbour = sent(scheduler, command("Count", Key="a", Limit=9))
    await all_wait()
    await store.append([counted("a")])
    store.may_record.set()
    assert (await neighbour).attempts == 1
    await loser
    assert counters.conflicts == 1


async def test_an_event_of_a_failed_command_counts_for_no_other(store: GatedStore, scheduler: Scheduler) -> None:
    used = uuid4()
    await store.append([], key=used, scope=domain.name, digest=b"another", outcome=Outcome(kind=ACCEPTED))
    blocker = sent(scheduler, command("Count", Key="b"))
    store.may_answer.clear()
    await all_wait()
    failing = sent(scheduler, command("Count", used, Key="a"))
    beside = sent(scheduler, command("Count", Key="a", Limit=1))
    await all_wait()
    store.may_answer.set()
    await blocker
    store.may_answer.clear()
    await all_wait()
    after = sent(scheduler, command("Count", Key="a", Limit=1))
    await all_wait()
    store.may_answer.set()
    with pytest.raises(IdempotencyKeyReused):
        await failing
    answers = [await beside, await after]
    assert [answer.receipt.outcome.kind for answer in answers] == [ACCEPTED, REJECTED]
    assert [answer.attempts for answer in answers] == [1, 1]


async def test_the_numbers_of_a_duplicate_are_no_own_range(store: GatedStore, scheduler: Scheduler) -> None:
    message = command("Count", Key="a")
    other = Scheduler(store, domain, Settings())
    await other.process(message)
    await store.append([counted("a")])
    await other.close()
    store.freeze_replica()
    assert store.replica is not None
    store.replica._log.events = []
    # Decided from an empty replica: new there, and a duplicate on the primary.
    again, beside = sent(scheduler, message), sent(scheduler, command("Count", Key="a", Limit=2))
    assert (await again).receipt.duplicate
    assert (await beside).receipt.outcome.kind is REJECTED


class Total(Command):
    """Count once more over all keys, up to a limit."""

    limit: int = Field(alias="Limit")


def decide_total(command: Total, total: int) -> Decision:
    return Rejected(reason="enough") if total >= command.limit else Accepted(events=(Counted(key="total"),))


def all_counted() -> Filter:
    return Filter.matching().any_event_type_of("Counted")


totals = View(name="totals", events=all_counted, initial=lambda: 0, evolve=lambda total, _: total + 1)
totalling = replace(
    domain,
    views=(*domain.views, totals),
    deciders=(*domain.deciders, Decider(command=Total, parts=lambda _: totals.at(), decide=decide_total)),
)


@pytest.mark.usefixtures("one_round")
async def test_the_number_of_a_duplicate_extends_no_own_range(store: GatedStore) -> None:
    """The event just below the duplicate's was recorded elsewhere: no part has seen it."""
    scheduler, other = Scheduler(store, totalling, Settings()), Scheduler(store, totalling, Settings())
    assert (await scheduler.process(command("Total", Limit=0))).receipt.outcome.kind is REJECTED
    store.freeze_replica()
    message = command("Count", Key="a")
    await other.process(message)
    again, beside = sent(scheduler, message), sent(scheduler, command("Count", Key="b"))
    assert ((await again).receipt.duplicate, (await beside).receipt.first) == (True, 2)
    assert store.chains[-1] == 2
    assert (await scheduler.process(command("Total", Limit=2))).receipt.outcome.kind is REJECTED
    await asyncio.gather(scheduler.close(), other.close())


async def test_after_an_unknown_outcome_everything_decided_on_it_is_decided_again(
    store: GatedStore, scheduler: Scheduler, counters: Counters
) -> None:
    store.may_answer.clear()
    store.is_lost = True
    lost = sent(scheduler, command("Count", Key="a"))
    await all_wait()
    relying = sent(scheduler, command("Count", Key="a", Limit=1))
    await all_wait()
    store.may_answer.set()
    assert (await lost).receipt.first == 1
    answer = await relying
    assert (answer.receipt.outcome.kind, answer.attempts) == (REJECTED, 1)
    # The possibly recorded events were read before the next append: no conflict.
    assert counters.conflicts == 0


async def test_a_command_id_in_flight_is_not_decided_twice(
    store: GatedStore, scheduler: Scheduler, counters: Counters
) -> None:
    store.may_answer.clear()
    message = command("Count", Key="a")
    first = sent(scheduler, message)
    await all_wait()
    second = sent(scheduler, message)
    await all_wait()
    store.may_answer.set()
    answers = [await first, await second]
    assert [answer.receipt.duplicate for answer in answers] == [False, True]
    assert (counters.attempts, store.chains) == (1, [1])


async def test_an_unexpected_exception_of_the_store_ends_only_its_round(
    store: GatedStore, scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    store.bug = RuntimeError("nobody has thought of this")
    with pytest.raises(RuntimeError, match="nobody has thought"):
        await scheduler.process(command("Count", Key="a"))
    assert (await scheduler.process(command("Count", Key="a"))).receipt.first == 1
    assert "recording a round of tally failed" in caplog.text


@pytest.mark.parametrize("closes", [False, True])
async def test_a_follower_of_a_command_is_given_back_with_it(
    store: GatedStore,
    scheduler: Scheduler,
    closes: bool,  # noqa: FBT001  a parametrised case
) -> None:
    store.may_answer.clear()
    blocker = sent(scheduler, command("Count", Key="b"))
    await all_wait()
    message = command("Count", Key="a")
    waiting = [sent(scheduler, message) for _ in range(3)]
    await all_wait()
    if closes:
        await scheduler.close()
    else:
        await scheduler.drain(0)
    ended = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)
    assert [str(each) for each in ended] == ["the worker ends"] * 3
    blocker.cancel()


async def test_a_command_that_was_given_back_is_not_recorded_later(store: GatedStore, scheduler: Scheduler) -> None:
    store.may_answer.clear()
    blocker = sent(scheduler, command("Count", Key="b"))
    await all_wait()
    message = command("Count", Key="a")
    given_back = sent(scheduler, message)
    await all_wait()
    await scheduler.drain(0)
    store.may_answer.set()
    await blocker
    await all_wait()
    assert isinstance((await asyncio.gather(given_back, return_exceptions=True))[0], Exception)
    assert await store.receipt(message.command_id, scope=domain.name) is None


async def test_a_bug_fails_only_its_own_command(store: GatedStore, scheduler: Scheduler) -> None:
    store.may_answer.clear()
    blocker = sent(scheduler, command("Count", Key="b"))
    await all_wait()
    tasks = [sent(scheduler, command(kind, Key="a")) for kind in ("Count", "Explode", "Count")]
    await all_wait()
    store.may_answer.set()
    await blocker
    first, bug, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(bug, ZeroDivisionError)
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (first.attempts, second.attempts) == (1, 1)
