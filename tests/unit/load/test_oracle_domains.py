"""The oracle judges one domain beside others in the same log, and several that one run sent commands to."""

from uuid import uuid4

from eventstore import Event, Outcome, OutcomeKind
from handlers import Accepted, Unchanged
from tests.unit.load.bells import Ring, Rung, bells
from tests.unit.load.counting import Count, domain
from tests.unit.load.ledger import Ledger, texts


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


async def test_a_wrong_decision_of_either_is_found() -> None:
    ledger = await both()
    key = await ledger.record(Ring(key="a"), Accepted(events=(Rung(key="a"),)), bells)
    other = await ledger.record(Count(key="z"), Unchanged())
    assert texts(await ledger.judge(domain, beside=[bells])) == [
        f"Ring {key} was accepted with Rung, but the log up to 5 makes it unchanged with no event",
        "never twice: event 6 rings a again",
        f"Count {other} was unchanged with no event, but the log up to 6 makes it accepted with Counted",
    ]


async def test_what_another_domain_wrote_is_passed_over() -> None:
    ledger = await both()
    ledger.commands = {key: command for key, command in ledger.commands.items() if isinstance(command, Count)}
    report = await ledger.judge(domain)
    assert texts(report) == []
    assert (report.events, report.receipts, report.decided_again) == (5, 3, 3)


async def test_an_event_in_no_receipt_is_found_whosever_it_is() -> None:
    ledger = await both()
    await ledger.append([Event(type="Rung", payload={"Key": "q"})])
    assert texts(await ledger.judge(domain, beside=[bells])) == ["event 6 (Rung) stands in no receipt"]


async def test_a_command_that_the_wrong_domain_settled_is_found() -> None:
    ledger = await both()
    key = uuid4()
    ledger.commands[key] = Ring(key="y")
    event = Event(type="Rung", payload={"Key": "y"}, metadata={"command_id": str(key)})
    outcome = Outcome(kind=OutcomeKind.ACCEPTED, details={"domain": "counting"})
    await ledger.append([event], key=key, outcome=outcome)
    (found,) = texts(await ledger.judge(domain, beside=[bells]))
    assert found.startswith(f"Ring {key} cannot be decided again at 5: the domain counting has no command 'Ring'")
