"""The oracle finds no violation in a correct log, and each kind of violation in a forged one."""

import gc
import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import Any, NoReturn
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from eventstore import Event, Filter, Outcome, OutcomeKind, P, Receipt
from handlers import DomainEvent, Invariant, Reaction, Send
from handlers.invariant import Check
from tests.support.domains.tally import Count, Counted, CountOnce, domain
from tests.unit.load.ledger import Ledger, texts
from worker.message import Reply


@pytest.fixture
async def ledger() -> Ledger:
    """Commands with every outcome, on two parts in turn."""
    made = Ledger()
    for key in ("a", "b", "a", "b", "a", "a"):
        await made.decide(Count(key=key, limit=3))
    await made.decide(Count(key="a", limit=3, quietly=True))
    await made.decide(CountOnce(key="a"))
    await made.decide(CountOnce(key="c"))
    return made


async def test_a_correct_log_is_clean(ledger: Ledger) -> None:
    verdict = await ledger.judge()
    assert verdict.violations == []
    assert verdict.clean
    assert (verdict.events, verdict.receipts, verdict.decided_again) == (7, 9, 9)
    assert verdict.attempts == {1: 9}


async def test_a_wrong_decision_is_found(ledger: Ledger) -> None:
    key = ledger.keys(OutcomeKind.UNCHANGED)[0]
    rejected = Outcome(kind=OutcomeKind.REJECTED, reason="no", details={"domain": "tally"})
    ledger.forge_receipt(key, lambda receipt: structs.replace(receipt, outcome=rejected))
    ledger.replies.clear()
    verdict = await ledger.judge()
    assert texts(verdict) == [
        f"CountOnce {key} was rejected (no) with no event, but the log up to 6 makes it unchanged with no event"
    ]


async def test_a_decision_from_a_stale_prefix_is_found(ledger: Ledger) -> None:
    """As from a store without conflict detection: an acceptance above the limit."""
    key = uuid4()
    details = {"domain": "tally", "command_type": "Count"}
    await ledger.append(
        [Event(type="Counted", payload={"Key": "a"}, metadata={"command_id": str(key)})],
        key=key,
        outcome=Outcome(kind=OutcomeKind.ACCEPTED, details=details),
    )
    ledger.commands[key] = Count(key="a", limit=3)
    verdict = await ledger.judge()
    assert verdict.violation_count == 1
    assert "was accepted with Counted" in verdict.violations[0].text
    assert "makes it rejected (limit reached) with CountingFailed" in verdict.violations[0].text


async def test_a_changed_payload_is_found(ledger: Ledger) -> None:
    ledger.forge_event(2, lambda event: structs.replace(event, payload={"Key": "z"}))
    assert not (await ledger.judge()).clean


async def test_a_gap_is_found(ledger: Ledger) -> None:
    ledger.forge_event(7, lambda event: structs.replace(event, sequence_number=8))
    verdict = await ledger.judge()
    assert "event 8 stands where number 7 belongs" in texts(verdict)


async def test_an_unsettled_command_is_found(ledger: Ledger) -> None:
    key = ledger.keys(OutcomeKind.UNCHANGED)[0]
    ledger.hidden.add(key)
    assert texts(await ledger.judge()) == [f"CountOnce {key} was published, but never settled"]


async def test_a_failed_command_is_reported_with_its_reason(ledger: Ledger) -> None:
    key = ledger.keys(OutcomeKind.UNCHANGED)[0]
    ledger.hidden.add(key)
    ledger.replies[key] = [Reply(command_id=key, outcome="failed", reason="handler_error: KeyError: 'a'")]
    assert texts(await ledger.judge()) == [f"CountOnce {key} is a dead letter: handler_error: KeyError: 'a'"]


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        (
            lambda _number, _event: None,
            (
                "raised TypeError: <lambda>() missing 2 required positional arguments: '_number' and '_event'; "
                "it is called with nothing, and returns the check"
            ),
        ),
        (lambda: None, "returns the check, a function of a number and an event; not None"),
    ],
)
async def test_an_invariant_that_cannot_start_is_reported(start: Any, sentence: str) -> None:
    ledger = Ledger(replace(domain, invariants=(Invariant(name="kept", start=start),)))
    await ledger.decide(Count(key="a"))
    place = f"{__file__}:{start.__code__.co_firstlineno}"
    assert texts(await ledger.judge()) == [f"start of the invariant 'kept' ({place}) {sentence}"]


async def test_a_check_that_returns_no_text_is_reported() -> None:
    def start() -> Any:
        return lambda number, _: number < 0

    ledger = Ledger(replace(domain, invariants=(Invariant(name="kept", start=start),)))
    await ledger.decide(Count(key="a"))
    assert texts(await ledger.judge()) == [
        "kept: its check returned False at event 1; it returns what is wrong, or None"
    ]


async def test_an_answer_to_a_command_that_was_not_sent_is_found(ledger: Ledger) -> None:
    key = ledger.keys(OutcomeKind.REJECTED)[0]
    del ledger.commands[key]
    assert texts(await ledger.judge()) == [
        f"command {key} was settled, but is none of this run: stop whatever else sends commands"
    ]


async def test_an_event_without_a_receipt_is_found(ledger: Ledger) -> None:
    await ledger.append([Event(type="Counted", payload={"Key": "d"})])
    assert texts(await ledger.judge()) == ["event 8 (Counted) stands in no receipt"]


async def test_an_event_of_another_command_is_found(ledger: Ledger) -> None:
    ledger.forge_event(1, lambda event: structs.replace(event, metadata={**event.metadata, "command_id": str(uuid4())}))
    (violation,) = texts(await ledger.judge())
    assert violation.startswith("event 1 stands in the receipt of another command")


async def test_a_reply_that_differs_from_its_receipt_is_found(ledger: Ledger) -> None:
    key = ledger.keys(OutcomeKind.ACCEPTED)[0]
    ledger.replies[key].append(Reply(command_id=key, outcome="accepted", first=99, last=99))
    assert texts(await ledger.judge()) == [f"command {key} was answered accepted, unlike its receipt"]


async def test_violations_are_counted_beyond_the_reported_ones(ledger: Ledger) -> None:
    ledger.commands |= {uuid4(): CountOnce(key="x") for _ in range(30)}
    verdict = await ledger.judge()
    assert verdict.violation_count == 30
    assert len(verdict.violations) == 20


async def test_a_receipt_beyond_the_logs_end_is_found(ledger: Ledger) -> None:
    key = ledger.keys(OutcomeKind.ACCEPTED)[-1]
    ledger._log.events.pop()
    assert texts(await ledger.judge()) == [f"the receipt of {key} lies beyond the log's end at 6"]


async def test_an_event_in_two_receipts_is_found(ledger: Ledger) -> None:
    first, second = ledger.keys(OutcomeKind.ACCEPTED)[:2]
    ledger.forge_receipt(second, lambda receipt: structs.replace(receipt, first=1, last=1))
    found = texts(await ledger.judge())
    assert f"event 1 stands in the receipts of {first} and of {second}" in found or (
        f"event 1 stands in the receipts of {second} and of {first}" in found
    )
    assert "event 2 (Counted) stands in no receipt" in found


async def test_two_receipts_of_one_command_are_found(ledger: Ledger) -> None:
    key = ledger.keys(OutcomeKind.UNCHANGED)[0]
    ledger.twice = key
    assert texts(await ledger.judge()) == [f"command {key} has two receipts"]


async def test_a_broken_invariant_is_found_with_its_event_and_command(ledger: Ledger) -> None:
    def at_most_two_of_a_kind() -> Check:
        seen: Counter[str] = Counter()

        def check(number: int, event: DomainEvent) -> str | None:
            key = event.model_dump()["key"]
            seen[key] += isinstance(event, Counted)
            return f"event {number} counts {key} again" if seen[key] == 3 and isinstance(event, Counted) else None

        return check

    strict = replace(domain, invariants=(Invariant(name="no key thrice", start=at_most_two_of_a_kind),))
    verdict = await ledger.judge(strict)
    (violation,) = verdict.violations
    assert violation.text == "no key thrice: event 5 counts a again"
    (event,) = violation.events
    assert (event.sequence_number, event.type) == (5, "Counted")
    (command,) = violation.commands.values()
    assert command == Count(key="a", limit=3)
    assert verdict.invariants == ("no key thrice",)


async def test_an_unknown_event_in_a_part_is_found(ledger: Ledger) -> None:
    ledger.forge_event(1, lambda event: structs.replace(event, type="Forgotten"))
    narrow = replace(domain, events=tuple(each for each in domain.events if each.__name__ != "Forgotten"))
    found = texts(await ledger.judge(narrow))
    assert "event 1 has the type Forgotten, which the domain tally does not know" in found


async def test_an_event_that_lacks_a_field_is_found(ledger: Ledger) -> None:
    ledger.forge_event(1, lambda event: structs.replace(event, payload={}))
    assert "event 1 (Counted) cannot be read: Key is missing" in texts(await ledger.judge())


async def test_a_violation_shows_the_events_and_commands_involved(ledger: Ledger) -> None:
    key = ledger.keys(OutcomeKind.REJECTED)[0]
    accepted = Outcome(kind=OutcomeKind.ACCEPTED, details={"domain": "tally"})
    ledger.forge_receipt(key, lambda receipt: structs.replace(receipt, outcome=accepted))
    ledger.replies.clear()
    (violation,) = (await ledger.judge()).violations
    # The last event of its part before the command, and the command's own event.
    assert [event.sequence_number for event in violation.events] == [5, 6]
    assert violation.commands[key] == ledger.commands[key]
    evidence = violation.evidence()
    assert evidence[1].startswith("event 6 CountingFailed ")
    assert f"command {key} Count {{'Key': 'a', 'Limit': 3, 'Quietly': False}}" in evidence


async def test_earlier_events_need_no_receipt_but_count_in_decisions(ledger: Ledger) -> None:
    """A run on a used log: earlier events are folded, and earlier commands are not judged."""
    ledger.hidden.add(ledger.keys(OutcomeKind.ACCEPTED)[0])
    ledger.commands.clear()
    ledger.replies.clear()
    await ledger.decide(Count(key="a", limit=3))
    await ledger.decide(CountOnce(key="z"))
    verdict = await ledger.judge(since=7)
    assert texts(verdict) == []
    assert (verdict.events, verdict.receipts, verdict.decided_again) == (9, 2, 2)
    # Without the bound, all earlier events are reported as events of unknown commands.
    assert (await ledger.judge()).violation_count > 5


async def test_a_command_of_another_program_meanwhile_is_found(ledger: Ledger) -> None:
    mine = dict(ledger.commands)
    other = await ledger.decide(Count(key="q"))
    ledger.commands = mine
    assert texts(await ledger.judge(since=0)) == [
        f"command {other} was settled, but is none of this run: stop whatever else sends commands"
    ]


def reacting(commands: Any) -> tuple[Ledger, Reaction]:
    counted = Filter.matching().any_event_type_of("Counted").and_any_predicate_of(P("Key", "a"))
    reaction = Reaction(name="again", events=counted, commands=commands)
    return Ledger(replace(domain, reactions=(reaction,))), reaction


async def settle(ledger: Ledger, key: UUID) -> None:
    """Settle a command that the run did not publish."""
    outcome = Outcome(kind=OutcomeKind.ACCEPTED, details={"domain": "tally", "command_type": "CountOnce"})
    event = Event(type="Counted", payload={"Key": "b"}, metadata={"command_id": str(key)})
    await ledger.append([event], key=key, outcome=outcome)


async def test_a_command_that_a_reaction_sent_meanwhile_is_recognised() -> None:
    ledger, reaction = reacting(lambda _: [Send(command=CountOnce(key="b"), to="elsewhere"), CountOnce(key="b")])
    await ledger.decide(Count(key="a"))
    key = reaction.command_id("tally", ledger._log.events[0].position, 1)
    await settle(ledger, key)
    await ledger.decide(CountOnce(key="b"))
    verdict = await ledger.judge()
    assert texts(verdict) == []
    assert (verdict.receipts, verdict.reacted, verdict.decided_again) == (2, 1, 2)
    # It was settled when the receipts had been read.
    ledger.hidden.add(key)
    assert texts(await ledger.judge()) == []


async def test_a_reaction_to_an_event_from_before_the_run_is_recognised() -> None:
    ledger, reaction = reacting(lambda _: CountOnce(key="b"))
    await ledger.decide(Count(key="a"))
    ledger.commands.clear()
    ledger.replies.clear()
    await settle(ledger, reaction.command_id("tally", ledger._log.events[0].position, 0))
    assert texts(await ledger.judge(since=1)) == []


def fail(_: object) -> NoReturn:
    raise ZeroDivisionError


@pytest.mark.parametrize("commands", [lambda _: None, lambda _: Send(command=CountOnce(key="b"), to="elsewhere"), fail])
async def test_a_command_that_the_reaction_does_not_send_here_is_not_recognised(commands: Any) -> None:
    ledger, reaction = reacting(commands)
    await ledger.decide(Count(key="a"))
    key = reaction.command_id("tally", ledger._log.events[0].position, 0)
    await settle(ledger, key)
    assert texts(await ledger.judge()) == [
        f"command {key} was settled, but is none of this run: stop whatever else sends commands"
    ]


async def test_attempts_are_counted_for_the_load_only(ledger: Ledger) -> None:
    first, second, third = list(ledger.commands)[:3]
    for key, attempts in ((first, 9), (second, 4), (third, 2)):

        def tried(receipt: Receipt, attempts: int = attempts) -> Receipt:
            details = {**receipt.outcome.details, "attempts": attempts}
            return structs.replace(receipt, outcome=replace(receipt.outcome, details=details))

        ledger.forge_receipt(key, tried)
    verdict = await ledger.judge(setup={first})
    assert verdict.clean
    assert verdict.attempts == {1: 6, 2: 1, 4: 1}
    assert verdict.tried_again == {second: 4, third: 2}
    assert verdict.conflicts == 4


async def test_progress_is_reported(ledger: Ledger) -> None:
    for _ in range(200):
        await ledger.decide(Count(key="p", limit=1000))
    told: list[int] = []
    await ledger.judge(progress=told.append)
    assert told == [200]


async def test_memory_does_not_grow_with_the_log(ledger: Ledger) -> None:
    """Ten thousand events of other programs are read; none is kept."""
    earlier = len(ledger._log.events)
    for _ in range(20):
        padded = [Event(type="Counted", payload={"Key": "other", "Padding": "x" * 1000}) for _ in range(500)]
        await ledger.append(padded, key=uuid4())
    since = len(ledger._log.events)
    ledger.commands.clear()
    ledger.replies.clear()
    for number in range(20):
        await ledger.decide(Count(key=f"n-{number}"))
    gc.collect()
    tracemalloc.start()
    try:
        verdict = await ledger.judge(since=since)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (verdict.clean, verdict.events) == (True, earlier + 10_020)
    # All of the events take more than fifteen times as much.
    assert peak < 1_000_000
