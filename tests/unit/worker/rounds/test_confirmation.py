"""A failure is final only if the command fails on recorded events; otherwise it is decided again a few times."""

import asyncio
import gc
import logging
import weakref
from itertools import count

import pytest
from opentelemetry.context import Context

from eventstore import OutcomeKind
from handlers import Accepted, Command, Decider, Decision, Domain, Unchanged, View
from tests.support.domains.tally import Count, Counted, Tally, decide_count, events_of, evolve, tally
from tests.support.domains.tally import domain as tallying
from tests.unit.worker.rounds.gated_store import GatedStore, all_wait, sent
from tests.unit.worker.staged import command
from worker.counters import Counters
from worker.rounds.job import Job
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings

strict: View[[str], Tally] = View(name="strict", events=events_of, initial=lambda _: Tally(), evolve=evolve)


class CountFirst(Command):
    key: str


def decide_count_first(command: CountFirst, state: Tally) -> Decision:
    if state.counted:
        raise LookupError("it was counted")
    return Accepted(events=(Counted(key=command.key),))


def counting_first() -> Domain:
    return Domain(
        name="counting-first",
        views=(strict, tally),
        deciders=(
            Decider(command=CountFirst, parts=lambda command: strict.at(command.key), decide=decide_count_first),
            Decider(command=Count, parts=lambda command: tally.at(command.key), decide=decide_count),
        ),
        events=tallying.events,
    )


async def test_a_command_that_fails_repeatedly_on_events_in_flight_waits_until_none_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, counters = GatedStore(), Counters()
    scheduler = Scheduler(store, counting_first(), Settings(), counters)
    store.may_record.clear()
    in_flight = sent(scheduler, command("Count", Key="a"))
    await all_wait()
    with caplog.at_level(logging.WARNING):
        first = sent(scheduler, command("CountFirst", key="a"))
        for _ in range(10):
            await all_wait()
    # Neither is answered yet, and nothing is decided in a loop.
    assert counters.attempts == 1 + 3
    assert (
        "CountFirst has failed repeatedly on events that were not recorded yet (LookupError in decide_c" in caplog.text
    )
    store.bug = RuntimeError("it is not recorded after all")
    store.may_record.set()
    answer = await asyncio.wait_for(first, 30)
    assert (answer.receipt.outcome.kind, answer.attempts) == (OutcomeKind.ACCEPTED, 1)
    with pytest.raises(RuntimeError):
        await in_flight
    await scheduler.close()


async def test_a_command_that_fails_only_when_recorded_ends_with_its_exception() -> None:
    calls = count()

    def decide(_: CountFirst, __: Tally) -> Decision:
        if next(calls) % 2 == 0:
            raise LookupError("every other time")
        return Unchanged()

    fickle = Domain(
        name="fickle",
        views=(strict,),
        deciders=(Decider(command=CountFirst, parts=lambda command: strict.at(command.key), decide=decide),),
        events=tallying.events,
    )
    store, counters = GatedStore(), Counters()
    scheduler = Scheduler(store, fickle, Settings(), counters)
    with pytest.raises(LookupError, match="every other time"):
        await asyncio.wait_for(scheduler.process(command("CountFirst", key="a")), 30)
    assert counters.attempts == 6
    assert store.chains == []
    await scheduler.close()


async def test_no_reference_to_a_reported_exception_is_kept() -> None:
    raised: list[weakref.ref[Exception]] = []

    class CannotCount(Exception):
        def __init__(self) -> None:
            raised.append(weakref.ref(self))

    def decide(_: CountFirst, __: Tally) -> Decision:
        raise CannotCount

    failing = Domain(
        name="failing",
        views=(strict,),
        deciders=(Decider(command=CountFirst, parts=lambda command: strict.at(command.key), decide=decide),),
        events=tallying.events,
    )
    scheduler = Scheduler(GatedStore(), failing, Settings())
    ended = asyncio.Event()
    gc.disable()
    try:
        scheduler.submit(Job(command("CountFirst", key="a"), lambda *_: ended.set(), context=Context()))
        await asyncio.wait_for(ended.wait(), 30)
        await all_wait()
        assert [each() for each in raised] == [None, None]
    finally:
        gc.enable()
    await scheduler.close()
