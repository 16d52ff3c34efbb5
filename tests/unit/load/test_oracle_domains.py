"""The oracle judges one domain among others in a log, and several domains of one run."""

from uuid import uuid4

from eventstore import Event, MemoryEventStore, Outcome, OutcomeKind
from handlers import Accepted, Unchanged
from tests.support.domains.tally import Count, domain
from tests.unit.load.bells import Ring, Rung, bells
from tests.unit.load.ledger import Ledger, texts
from worker.load.session import LoadStore, RunResult, judged
from worker.load.tally import Tally


async def both() -> Ledger:
    ledger = Ledger()
    for key in "aba":
        await ledger.decide(Count(key=key))
        await ledger.decide(Ring(key=key), bells)
    return ledger


async def test_two_domains_are_judged_together() -> None:
    report = await (await both()).judge(domain, beside=[bells])
    assert texts(report) == []
    assert (report.receipts, report.decided_again, report.invariants) == (6, 6, ("never twice",))


async def test_a_wrong_decision_of_either_domain_is_found() -> None:
    ledger = await both()
    key = await ledger.record(Ring(key="a"), Accepted(events=(Rung(key="a"),)), bells)
    other = await ledger.record(Count(key="z"), Unchanged())
    assert texts(await ledger.judge(domain, beside=[bells])) == [
        f"Ring {key} was accepted with Rung, but the log up to 5 makes it unchanged with no event",
        "never twice: event 6 rings a again",
        f"Count {other} was unchanged with no event, but the log up to 6 makes it accepted with Counted",
    ]


async def test_events_of_another_domain_are_ignored() -> None:
    ledger = await both()
    ledger.commands = {key: command for key, command in ledger.commands.items() if isinstance(command, Count)}
    report = await ledger.judge(domain)
    assert texts(report) == []
    assert (report.events, report.receipts, report.decided_again) == (5, 3, 3)


async def test_an_event_without_a_receipt_is_found_in_every_domain() -> None:
    ledger = await both()
    await ledger.append([Event(type="Rung", payload={"Key": "q"})])
    assert texts(await ledger.judge(domain, beside=[bells])) == ["event 6 (Rung) stands in no receipt"]


async def test_a_command_that_the_wrong_domain_settled_is_found() -> None:
    ledger = await both()
    key = uuid4()
    ledger.commands[key] = Ring(key="y")
    event = Event(type="Rung", payload={"Key": "y"}, metadata={"command_id": str(key)})
    outcome = Outcome(kind=OutcomeKind.ACCEPTED, details={"domain": "tally"})
    await ledger.append([event], key=key, outcome=outcome)
    (found,) = texts(await ledger.judge(domain, beside=[bells]))
    assert found.startswith(
        f"Ring {key} cannot be decided again at 5: the domain tally has no decider of the command 'Ring'"
    )


async def apart() -> tuple[Ledger, Ledger, RunResult]:
    """Each domain in its own store, and the commands that the run has sent to both."""
    counting, ringing = Ledger(), Ledger(bells)
    for key in "aba":
        await counting.decide(Count(key=key))
        await ringing.decide(Ring(key=key))
    tally = Tally(commands=counting.commands | ringing.commands, replies=counting.replies | ringing.replies)
    return counting, ringing, RunResult(tally=tally, since=(0, 0))


def stores(counting: MemoryEventStore, ringing: MemoryEventStore) -> list[LoadStore]:
    return [LoadStore(store=counting, domains=(domain,)), LoadStore(store=ringing, domains=(bells,))]


async def test_domains_with_separate_stores_are_judged_by_their_own_logs() -> None:
    counting, ringing, ran = await apart()
    report = await judged(ran, stores(counting, ringing))
    assert texts(report) == []
    assert (report.receipts, report.decided_again, report.events) == (6, 6, 5)
    assert report.invariants == ("never twice",)


async def test_a_violation_in_either_store_is_found() -> None:
    counting, ringing, ran = await apart()
    key = await ringing.record(Ring(key="a"), Accepted(events=(Rung(key="a"),)))
    lost = uuid4()
    ran.tally.commands[key] = Ring(key="a")
    ran.tally.commands[lost] = Count(key="q")
    found = texts(await judged(ran, stores(counting, ringing)))
    assert found == [
        f"Count {lost} was published, but never settled",
        f"Ring {key} was accepted with Rung, but the log up to 2 makes it unchanged with no event",
        "never twice: event 3 rings a again",
    ]


async def test_a_command_recorded_in_the_other_store_is_found() -> None:
    """As when workers and the run are configured with different databases."""
    counting, ringing, ran = await apart()
    found = texts(await judged(ran, stores(ringing, counting)))
    assert sum("was published, but never settled" in text for text in found) == 6
