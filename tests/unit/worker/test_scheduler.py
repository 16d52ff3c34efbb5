"""The scheduler: recorded answers, and raised exceptions."""

import asyncio
from typing import Any

import pytest

from eventstore import (
    Consistency,
    Filter,
    IdempotencyKeyReused,
    InvalidRequest,
    OutcomeKind,
)
from tests.unit.worker.staged import StagedStore, command, counted, others_come
from worker.counters import Counters
from worker.message import BadMessage, CommandMessage
from worker.rounds.scheduler import Scheduler


async def test_an_accepted_command_is_recorded_with_its_metadata(store: StagedStore, scheduler: Scheduler) -> None:
    message = command("Count", Key="a")
    answer = await scheduler.process(message)
    assert answer.attempts == 1
    assert answer.receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert store.consistencies == [Consistency.EVENTUAL]
    (event,) = [event async for event in store.read(Filter.matching_any_event())]
    assert (event.type, event.payload) == ("Counted", {"Key": "a"})
    assert event.metadata == {
        "command_id": str(message.command_id),
        "command_type": "Count",
        "correlation_id": "visit",
        "causation_id": str(message.command_id),
    }
    assert answer.receipt.outcome.details == {
        "command_type": "Count",
        "correlation_id": "visit",
        "domain": "tally",
        "attempts": 1,
    }


@pytest.mark.parametrize(
    ("kind", "body", "outcome"),
    [
        ("Count", {"Limit": 0, "Quietly": True}, OutcomeKind.REJECTED),
        ("CountOnce", {}, OutcomeKind.UNCHANGED),
    ],
)
async def test_an_outcome_without_events_has_a_receipt(
    store: StagedStore, scheduler: Scheduler, kind: str, body: dict[str, Any], outcome: OutcomeKind
) -> None:
    await store.append([counted()])
    message = command(kind, Key="a", **body)
    answer = await scheduler.process(message)
    assert answer.receipt.outcome.kind is outcome
    assert await store.receipt(message.command_id, scope="tally") == answer.receipt


async def test_a_repeated_command_gets_its_first_answer_and_records_nothing(
    store: StagedStore, scheduler: Scheduler
) -> None:
    message = command("Count", Key="a", Limit=1)
    first = (await scheduler.process(message)).receipt
    again = (await scheduler.process(message)).receipt
    # A new decision would reject it; the answer stays the same.
    assert again == first.as_duplicate()
    assert len([event async for event in store.read(Filter.matching_any_event())]) == 1


@pytest.mark.usefixtures("one_round")
async def test_commands_of_one_boundary_are_decided_on_top_of_each_other(
    store: StagedStore, scheduler: Scheduler, counters: Counters
) -> None:
    store.after_query = [others_come]
    messages = [command("Count", Key="a", Limit=3, Quietly=n % 2 == 0) for n in range(8)]
    twice = messages[4]
    answers = await asyncio.gather(*(scheduler.process(message) for message in [*messages, twice]))
    assert [answer.receipt.outcome.kind for answer in answers[:3]] == [OutcomeKind.ACCEPTED] * 3
    assert {answer.receipt.outcome.kind for answer in answers[3:]} == {OutcomeKind.REJECTED}
    assert answers[-1].receipt == answers[4].receipt.as_duplicate()
    # No command was decided twice, and the one whose id was in flight not at all.
    assert [answer.attempts for answer in answers] == [1] * 8 + [0]
    assert (counters.attempts, counters.conflicts) == (8, 0)
    assert store.chains == [8]


async def test_another_command_under_the_same_id_is_refused(scheduler: Scheduler) -> None:
    message = command("Count", Key="a")
    await scheduler.process(message)
    for other in (command("Count", message.command_id, Key="b"), command("CountOnce", message.command_id, Key="a")):
        with pytest.raises(IdempotencyKeyReused):
            await scheduler.process(other)


async def test_an_unknown_outcome_is_found_when_the_database_answers_again(
    store: StagedStore, scheduler: Scheduler
) -> None:
    store.unknown_outcomes = 1
    answer = await scheduler.process(command("Count", Key="a"))
    assert answer.receipt.duplicate
    assert (answer.receipt.first, answer.attempts) == (1, 1)
    assert len([event async for event in store.read(Filter.matching_any_event())]) == 1


async def test_a_bug_is_raised_unchanged_after_a_decision_on_the_primary(
    store: StagedStore, scheduler: Scheduler
) -> None:
    with pytest.raises(ZeroDivisionError, match="a exploded at 0"):
        await scheduler.process(command("Explode", Key="a"))
    assert store.consistencies == [Consistency.EVENTUAL, Consistency.STRONG]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (command("Dance", Key="a"), "unknown_command"),
        (command("Count", Schlüssel="a"), "invalid_command"),
        (command("Count", Key="a", Limit="much"), "invalid_command"),
    ],
)
async def test_an_unknown_command_is_named(scheduler: Scheduler, message: CommandMessage, code: str) -> None:
    with pytest.raises(BadMessage) as raised:
        await scheduler.process(message)
    assert raised.value.code == code


async def test_a_value_that_no_filter_can_contain_is_a_fault_of_the_command(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidRequest):
        await scheduler.process(command("Count", Key="a\x00b"))
