"""Commands that are read or decided separately: alone, again, or during a long read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.context import Context

from eventstore import (
    Event,
    EventStream,
    Filter,
    Held,
    InvalidRequest,
    OutcomeKind,
    P,
    RecordedEvent,
)
from handlers import Accepted, Command, Decider, Decision, Domain, View
from tests.support.domains.tally import Counted, Forgotten, Tally, events_of, evolve
from tests.support.domains.tally import domain as tallying
from tests.unit.worker.rounds.gated_store import GatedStore, all_wait, sent
from tests.unit.worker.staged import command, counted, intruder
from tests.unit.worker.test_parts import PageEdited, edited_since, pages
from worker.counters import Counters
from worker.rounds.job import Job
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
async def tallier(store: GatedStore, counters: Counters) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, tallying, Settings(), counters)
    yield scheduler
    await scheduler.close()


async def test_a_command_that_must_be_decided_alone_is_decided_after_a_round_that_became_empty(
    store: GatedStore,
) -> None:
    editor = Scheduler(store, pages, Settings())
    store.may_answer.clear()
    blocker = sent(editor, command("EditPage", page="p", seen=0))
    await all_wait()
    leaving = sent(editor, command("EditPage", page="q", seen=0))
    alone = sent(editor, command("EditPage", page="r", seen=100))
    await all_wait()
    editor._states.distrust([editor._states._entries[edited_since.at("q", 0)]])
    store.may_answer.set()
    answers = await asyncio.gather(blocker, leaving, alone)
    assert [answer.receipt.outcome.kind for answer in answers] == [ACCEPTED] * 3
    assert [event.type for event in store._log.events] == [PageEdited.__name__] * 3
    await editor.close()


async def test_an_own_event_below_a_filters_bound_does_not_count_even_if_its_number_arrives_late(
    store: GatedStore,
) -> None:
    editor = Scheduler(store, pages, Settings())
    store.may_answer.clear()
    # It is recorded as number 1; the scheduler does not know that yet.
    ours = sent(editor, command("EditPage", page="p", seen=0))
    await all_wait()
    await store.append([Event(type="PageEdited", payload={"page": "other"})])
    # By this read the head is 2, so no later event can be below the bound; the own event is below it.
    others = [sent(editor, command("EditPage", page="p", seen=1)) for _ in range(2)]
    await all_wait()
    store.may_answer.set()
    answers = await asyncio.gather(ours, *others)
    assert [answer.receipt.outcome.kind for answer in answers] == [ACCEPTED, ACCEPTED, REJECTED]
    await editor.close()


class Recount(Command):
    key: str


def decide_recount(command: Recount, state: Tally) -> Decision:
    if state.counted:
        raise LookupError("it was counted")
    return Accepted(events=(Forgotten(key=command.key),))


strict: View[[str], Tally] = View(name="strict", events=events_of, initial=lambda _: Tally(), evolve=evolve)
recounting = Domain(
    name="recounting",
    views=(strict,),
    deciders=(Decider(command=Recount, parts=lambda command: strict.at(command.key), decide=decide_recount),),
    events=(Counted, Forgotten, *(each for each in tallying.events if each.__name__ == "CountingFailed")),
)


async def test_a_failure_caused_by_a_replicas_lag_is_not_final(store: GatedStore) -> None:
    recounter = Scheduler(store, recounting, Settings())
    await store.append([counted()])
    store.freeze_replica()
    await store.append([Event(type="Forgotten", payload={"Key": "a"})])
    answer = await recounter.process(command("Recount", key="a"))
    assert (answer.receipt.outcome.kind, answer.attempts) == (ACCEPTED, 1)
    await recounter.close()


async def test_a_failure_caused_by_an_outdated_cached_state_is_not_final(store: GatedStore) -> None:
    recounter = Scheduler(store, recounting, Settings())
    await store.append([counted()])
    with pytest.raises(LookupError):
        await recounter.process(command("Recount", key="a"))
    await store.append([Event(type="Forgotten", payload={"Key": "a"})])
    # If the state stayed cached, every retry would fail, and the command would become a dead letter.
    assert (await recounter.process(command("Recount", key="a"))).receipt.outcome.kind is ACCEPTED
    await recounter.close()


async def test_a_command_whose_reads_fail_twice_is_decided_once(
    store: GatedStore, tallier: Scheduler, counters: Counters
) -> None:
    message = command("Count", Key="a")
    task = sent(tallier, message)
    await asyncio.sleep(0)
    (job,) = tallier._active
    # It waits for the part twice, as after a failed read in another lane.
    tallier._attempts._reads.want(job, job.entries)
    await task
    await all_wait()
    assert (counters.attempts, store.chains) == (1, [1])


async def test_a_long_history_is_read_separately_and_delays_no_other_command(
    store: GatedStore, tallier: Scheduler
) -> None:
    await store.append([counted("long")] * 1500)
    may_stream, genuine = asyncio.Event(), store.read

    async def held(*arguments: Any, **options: Any) -> AsyncIterator[RecordedEvent]:
        await may_stream.wait()
        async for event in genuine(*arguments, **options):
            yield event

    store.read = held  # type: ignore[method-assign]
    long, short = (sent(tallier, command("Count", Key=key, Limit=1501)) for key in ("long", "short"))
    assert (await asyncio.wait_for(short, 30)).receipt.first == 1501
    assert not long.done()
    may_stream.set()
    assert (await long).receipt.outcome.kind is ACCEPTED


async def test_a_history_that_diverges_under_the_lock_fails_no_command(
    store: GatedStore, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(store, tallying, Settings(worker_conflict_attempts=1), counters)
    genuine = store.exclusive

    @asynccontextmanager
    async def failing_over(**options: float) -> AsyncIterator[Held]:
        monkeypatch.setattr(store, "exclusive", genuine)
        store._log.events[-1] = counted("b").recorded(len(store._log.events), token=99)
        async with genuine(**options) as held:
            yield held

    monkeypatch.setattr(store, "exclusive", failing_over)
    store.after_query = [intruder(store)]
    answer = await scheduler.process(command("Count", Key="a", Limit=1))
    # The conflicting event is not in this history.
    assert answer.receipt.outcome.kind is ACCEPTED
    assert counters.holds == 2
    await scheduler.close()


async def test_a_recorded_command_that_is_redelivered_is_looked_up_and_breaks_no_round(
    store: GatedStore, tallier: Scheduler, counters: Counters
) -> None:
    message = command("Count", Key="a")
    other = Scheduler(store, tallying, Settings())
    await other.process(message)
    await other.close()
    ends: list[object] = []
    job = Job(message, lambda _, end: ends.append(end), context=Context(), may_be_recorded=True)
    store.may_answer.clear()
    blocker = sent(tallier, command("Count", Key="b"))
    await all_wait()
    tallier.submit(job)
    beside = sent(tallier, command("Count", Key="a", Limit=2))
    await all_wait()
    store.may_answer.set()
    await asyncio.gather(blocker, beside)
    assert isinstance(ends[0], Answer)
    assert ends[0].receipt.duplicate
    # Each once: no command was decided on a second copy of the recorded event.
    assert (counters.attempts, store.chains) == (3, [1, 1, 2])


async def test_a_command_whose_receipt_is_gone_is_decided_on_all_earlier_events(
    store: GatedStore, tallier: Scheduler
) -> None:
    message = command("Count", Key="a", Limit=2)
    other = Scheduler(store, tallying, Settings())
    await other.process(message)
    await other.close()
    ends: list[object] = []
    job = Job(message, lambda _, end: ends.append(end), context=Context(), may_be_recorded=True)
    store.may_answer.clear()
    blocker = sent(tallier, command("Count", Key="b"))
    await all_wait()
    tallier.submit(job)
    await all_wait()
    beside = sent(tallier, command("Count", Key="a", Limit=2))
    await all_wait()
    store._log.receipts.clear()
    store.may_answer.set()
    await asyncio.gather(blocker, beside)
    await all_wait()
    assert isinstance(ends[0], Answer)
    assert [ends[0].receipt.outcome.kind, (await beside).receipt.outcome.kind] == [REJECTED, ACCEPTED]


async def test_a_part_that_the_store_refuses_fails_only_its_command(store: GatedStore, tallier: Scheduler) -> None:
    genuine = store.query_many

    async def refusing(filters: Sequence[Filter], **options: Any) -> list[EventStream]:
        if any(P("Key", "bad") in each.predicates for each in filters):
            raise InvalidRequest("the database refuses a value")
        return await genuine(filters, **options)

    store.query_many = refusing  # type: ignore[method-assign]
    tasks = [sent(tallier, command("Count", Key=key)) for key in ("a", "bad", "b", "c")]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each).__name__ for each in found] == ["Answer", "InvalidRequest", "Answer", "Answer"]
