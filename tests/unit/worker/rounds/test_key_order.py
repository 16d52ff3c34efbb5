"""The order of keys: no command overtakes an earlier one of its key."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial

import pytest
from opentelemetry.context import Context

from eventstore import Append, Event, EventStoreError, LockNotAcquired, OutcomeUnknown, Receipt
from eventstore.memory_hold import MemoryHold
from tests.support.domains.notes import domain
from tests.unit.worker.rounds.gated_store import GatedStore, all_wait
from tests.unit.worker.staged import command
from worker.counters import Counters
from worker.errors import HandlerTimedOut
from worker.message import CommandMessage
from worker.rounds import time_limits
from worker.rounds.job import Job
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer

KEY = "k"
pytestmark = pytest.mark.usefixtures("one_round")


class Submitted:
    """A command that was submitted to a scheduler.

    Attributes:
        message: The command.
        job: Its job.
        ended: Its answer, the error that prevented it, or None if it was given back.
    """

    def __init__(
        self, scheduler: Scheduler, message: CommandMessage, key: str | None = KEY, *, may_be_recorded: bool = False
    ) -> None:
        self.message = message
        self.ended: asyncio.Future[Answer | Exception | None] = asyncio.get_running_loop().create_future()
        self.is_abandoned = False
        self.job = Job(
            message,
            lambda _, happened: self.ended.set_result(happened),
            context=Context(),
            affinity_key=key,
            is_abandoned=lambda: self.is_abandoned,
            may_be_recorded=may_be_recorded,
        )
        scheduler.submit(self.job)

    async def first(self) -> int:
        """Wait for the number of its event."""
        answer = await asyncio.wait_for(self.ended, 20)
        assert isinstance(answer, Answer), answer
        assert answer.receipt.first is not None
        return answer.receipt.first


def note(scheduler: Scheduler, key: str | None = KEY) -> Submitted:
    return Submitted(scheduler, command("Note", Key=key or "none"), key)


def mention(scheduler: Scheduler, topic: str) -> Submitted:
    return Submitted(scheduler, command("Mention", Key=KEY, About=topic))


def hold_rests(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Let commands with a conflict back off until the returned function of each is called."""
    resting: list[Callable[[], None]] = []

    def rest(job: Job, rested: Callable[[Job, float], None]) -> None:
        resting.append(partial(rested, job, 0.0))

    monkeypatch.setattr(scheduler._attempts._retries, "rest", rest)
    return resting


def topic_event(topic: str) -> Event:
    return Event(type="Mentioned", payload={"About": topic})


async def in_order(*submitted: Submitted) -> None:
    numbers = [await each.first() for each in submitted]
    assert numbers == sorted(numbers)


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
    assert scheduler._attempts.order._undecided == {}
    await scheduler.close()


@pytest.fixture
def reads(store: GatedStore) -> asyncio.Event:
    """Set while reads are answered at once."""
    may_answer = asyncio.Event()

    async def wait() -> None:
        store.after_query.append(wait)
        await may_answer.wait()

    store.after_query.append(wait)
    may_answer.set()
    return may_answer


async def test_a_command_whose_parts_are_read_holds_back_only_its_key(
    scheduler: Scheduler, reads: asyncio.Event
) -> None:
    for known in (note(scheduler), note(scheduler, "other"), note(scheduler, None)):
        await known.first()
    reads.clear()
    slow = mention(scheduler, "new")
    behind = [note(scheduler) for _ in range(3)]
    others = [note(scheduler, "other"), note(scheduler, None)]
    for each in others:
        await each.first()
    assert not any(each.ended.done() for each in (slow, *behind))
    reads.set()
    await in_order(slow, *behind)


async def test_a_command_with_a_conflict_holds_back_later_ones_of_its_key(
    store: GatedStore, scheduler: Scheduler, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting = hold_rests(scheduler, monkeypatch)

    async def intrude() -> None:
        await store.append([topic_event("t")])

    await note(scheduler).first()
    store.after_query = [intrude]
    loser = mention(scheduler, "t")
    await all_wait()
    assert counters.conflicts == 1
    later = note(scheduler)
    await all_wait()
    assert not later.ended.done()
    resting.pop()()
    await in_order(loser, later)


@pytest.mark.parametrize("lost", ["conflict", "answer"])
async def test_a_command_decided_on_top_of_an_unrecorded_one_waits_for_it(
    store: GatedStore, scheduler: Scheduler, counters: Counters, lost: str
) -> None:
    await note(scheduler).first()
    store.may_record.clear()
    first = mention(scheduler, "t")
    await all_wait()
    # It shares no part with the first one.
    second = note(scheduler)
    await all_wait()
    assert (counters.attempts, len(store.chains)) == (3, 2)
    if lost == "conflict":
        await store.append([topic_event("t")])
    else:
        store.bug = OutcomeUnknown("the connection broke")
    store.may_record.set()
    await in_order(first, second)


async def test_later_commands_of_a_key_leave_the_round_with_the_earlier_one(
    store: GatedStore, scheduler: Scheduler, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting = hold_rests(scheduler, monkeypatch)
    await Submitted(scheduler, command("NoteAbout", Key="x", About="t"), "x").first()
    await note(scheduler).first()
    store.may_record.clear()
    refused = Submitted(scheduler, command("NoteAbout", Key="x", About="t"), "x")
    await all_wait()
    # The first relies on the refused one; the second relies on none.
    first, second = mention(scheduler, "t"), note(scheduler)
    await all_wait()
    assert (counters.attempts, len(store.chains)) == (5, 3)
    await store.append([Event(type="Noted", payload={"Key": "x"})])
    store.may_record.set()
    await in_order(first, second)
    resting.pop()()
    await refused.first()


async def test_commands_behind_one_that_takes_the_lock_are_decided_with_it(
    store: GatedStore, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(store, domain, Settings(worker_conflict_attempts=1), counters)
    resting = hold_rests(scheduler, monkeypatch)

    async def intrude() -> None:
        await store.append([topic_event("t")])

    await note(scheduler).first()
    store.after_query = [intrude]
    loser = mention(scheduler, "t")
    await all_wait()
    behind = [mention(scheduler, "t") for _ in range(3)]
    await all_wait()
    assert counters.conflicts == 1
    assert not any(each.ended.done() for each in behind)
    before = len(store.chains)
    resting.pop()()
    await in_order(loser, *behind)
    # One lock, and no other round.
    assert (counters.holds, len(store.chains)) == (1, before)
    await scheduler.close()


async def test_a_later_command_with_a_shorter_backoff_does_not_take_the_lock_first(
    store: GatedStore, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(store, domain, Settings(worker_conflict_attempts=1), counters)
    resting = hold_rests(scheduler, monkeypatch)

    async def intrude() -> None:
        await store.append([topic_event("t")])

    store.after_query = [intrude]
    first, second = mention(scheduler, "t"), mention(scheduler, "t")
    await all_wait()
    assert counters.conflicts == 2
    resting.pop()()
    await all_wait()
    # The lock is not taken without a command.
    assert counters.holds == 0
    resting.pop()()
    await in_order(first, second)
    assert counters.holds == 1
    await scheduler.close()


async def test_a_command_that_failed_to_take_the_lock_keeps_its_place(
    store: GatedStore, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(store, domain, Settings(worker_conflict_attempts=1), counters)
    resting = hold_rests(scheduler, monkeypatch)
    append = MemoryHold.append_chain

    async def too_late(*_: object) -> None:
        monkeypatch.setattr(MemoryHold, "append_chain", append)
        raise LockNotAcquired("the time for it was over")

    async def intrude() -> None:
        await store.append([topic_event("t")])

    monkeypatch.setattr(MemoryHold, "append_chain", too_late)
    await note(scheduler).first()
    store.after_query = [intrude]
    first = mention(scheduler, "t")
    await all_wait()
    resting.pop()()
    await all_wait()
    assert counters.holds == 1
    later = note(scheduler)
    await all_wait()
    assert not later.ended.done()
    resting.pop()()
    await in_order(first, later)
    await scheduler.close()


async def test_a_command_that_relied_on_a_refused_one_of_another_key_keeps_its_place(
    store: GatedStore, scheduler: Scheduler, reads: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting = hold_rests(scheduler, monkeypatch)
    about = Submitted(scheduler, command("NoteAbout", Key="x", About="t"), "x")
    await about.first()
    await note(scheduler).first()
    store.may_record.clear()
    refused = Submitted(scheduler, command("NoteAbout", Key="x", About="t"), "x")
    relying = mention(scheduler, "t")
    await all_wait()
    await store.append([Event(type="Noted", payload={"Key": "x"})])
    # For the next decision, its parts must be read.
    scheduler._states.distrust(relying.job.entries)
    reads.clear()
    store.may_record.set()
    await all_wait()
    later = note(scheduler)
    await all_wait()
    assert not later.ended.done()
    reads.set()
    await in_order(relying, later)
    assert not refused.ended.done()
    resting.pop()()
    await refused.first()


async def test_a_command_that_is_decided_elsewhere_holds_back_its_key_until_it_has_ended(scheduler: Scheduler) -> None:
    await note(scheduler).first()
    elsewhere = Job(command("Note", Key=KEY), lambda *_: None, context=Context(), affinity_key=KEY)
    scheduler.hold_back_others(elsewhere)
    behind = [note(scheduler) for _ in range(2)]
    await note(scheduler, "other").first()
    assert not any(each.ended.done() for each in behind)
    scheduler.let_others_pass(elsewhere)
    await in_order(*behind)


async def test_later_commands_of_a_key_are_given_back_with_the_earlier_one(
    store: GatedStore, scheduler: Scheduler, reads: asyncio.Event
) -> None:
    """Otherwise they would be recorded before the earlier one is redelivered."""
    await note(scheduler).first()
    store.may_answer.clear()
    sent = note(scheduler, "other")
    await all_wait()
    reads.clear()
    # The first is ready and not begun; the read for the second is in flight.
    first = note(scheduler)
    second = mention(scheduler, "new")
    await all_wait()
    draining = asyncio.create_task(scheduler.drain(5))
    await all_wait()
    reads.set()
    store.may_answer.set()
    assert await draining == 0
    assert (await first.ended, await second.ended) == (None, None)
    await sent.first()


async def test_a_command_that_ends_without_an_answer_releases_its_key(
    scheduler: Scheduler, reads: asyncio.Event
) -> None:
    await note(scheduler).first()
    reads.clear()
    abandoned = mention(scheduler, "new")
    behind = note(scheduler)
    unreadable = Submitted(scheduler, command("Note", Wrong=1))
    assert isinstance(await unreadable.ended, Exception)
    abandoned.is_abandoned = True
    reads.set()
    assert await abandoned.ended is None
    await behind.first()


async def test_a_command_redelivered_while_in_flight_keeps_its_place(
    scheduler: Scheduler, reads: asyncio.Event
) -> None:
    """After a reconnection, all messages of a shard are delivered again."""
    await note(scheduler).first()
    reads.clear()
    before = [mention(scheduler, "new"), note(scheduler), note(scheduler)]
    anew = [Submitted(scheduler, each.message) for each in before]
    # The first deliveries may be found abandoned in any order.
    for each in reversed(before):
        each.is_abandoned = True
        scheduler._limits._outcomes.let_go(each.job)
    reads.set()
    await in_order(*anew)


async def test_the_handler_timeout_does_not_run_while_a_command_is_held_back(
    store: GatedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limits, "_TICK_SECONDS", 0.01)
    scheduler = Scheduler(store, domain, Settings(), Counters())
    await note(scheduler).first()
    limits = scheduler._limits
    monkeypatch.setattr(limits, "_seconds", 0.2)
    limits._tick()
    elsewhere = Job(command("Note", Key=KEY), lambda *_: None, context=Context(), affinity_key=KEY)
    scheduler.hold_back_others(elsewhere)
    behind, too_long = note(scheduler), note(scheduler)
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(behind.ended), 0.5)
    assert not behind.ended.done()
    too_long.job.held_until = 0.0
    assert isinstance(await asyncio.wait_for(too_long.ended, 20), HandlerTimedOut)
    scheduler.let_others_pass(elsewhere)
    # Its time starts now.
    limits._tick()
    # From here on, the machine's speed does not matter.
    monkeypatch.setattr(limits, "_seconds", 60.0)
    await behind.first()
    await scheduler.close()


async def test_the_handler_timeout_of_what_is_held_back_does_not_run_while_another_key_takes_the_lock(
    store: GatedStore, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(store, domain, Settings(worker_conflict_attempts=1), counters)
    resting = hold_rests(scheduler, monkeypatch)
    append = MemoryHold.append_chain

    async def checked(hold: MemoryHold, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        scheduler._limits._tick()
        return await append(hold, appends)

    async def intrude() -> None:
        await store.append([topic_event("t")])

    monkeypatch.setattr(MemoryHold, "append_chain", checked)
    await note(scheduler).first()
    elsewhere = Job(command("Note", Key=KEY), lambda *_: None, context=Context(), affinity_key=KEY)
    scheduler.hold_back_others(elsewhere)
    behind = note(scheduler)
    await all_wait()
    behind.job.started_at = -math.inf
    store.after_query = [intrude]
    loser = Submitted(scheduler, command("Mention", Key="other", About="t"), "other")
    await all_wait()
    resting.pop()()
    await loser.first()
    assert counters.holds == 1
    assert not behind.ended.done()
    scheduler.let_others_pass(elsewhere)
    await behind.first()
    await scheduler.close()


async def test_a_recorded_command_is_not_held_back(store: GatedStore, scheduler: Scheduler) -> None:
    recorded = [note(scheduler) for _ in range(4)]
    await in_order(*recorded)
    elsewhere = Job(command("Note", Key=KEY), lambda *_: None, context=Context(), affinity_key=KEY)
    scheduler.hold_back_others(elsewhere)
    again = [Submitted(scheduler, each.message, may_be_recorded=True) for each in recorded]
    assert [await each.first() for each in again] == [await each.first() for each in recorded]
    # One a round: had a failover lost their receipts, each would be recorded anew, and they read the same part.
    assert store.chains[-4:] == [1, 1, 1, 1]
    scheduler.let_others_pass(elsewhere)
