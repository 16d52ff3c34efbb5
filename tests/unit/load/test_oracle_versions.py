"""The oracle reads events of older versions as a worker does, and compares decisions in their current form."""

from dataclasses import replace
from uuid import uuid4

from eventstore import Event, Outcome, OutcomeKind
from handlers import Accepted
from tests.support.domains.members import ADA, NAME_BRANCH, SPLIT_NAME, Join, domain, first, name_branch
from tests.unit.load.ledger import Ledger, texts

JOIN = Join(member="ada", first_name="Ada", last_name="Lovelace")


async def by_an_earlier_release(ledger: Ledger, event: Event) -> None:
    """Record a decision as the previous release did."""
    key = uuid4()
    ledger.commands[key] = JOIN
    written = Event(type=event.type, payload=event.payload, metadata={**event.metadata, "command_id": str(key)})
    await ledger.append([written], key=key, outcome=Outcome(kind=OutcomeKind.ACCEPTED, details={"domain": "club"}))


async def test_an_earlier_releases_decision_is_correct_if_it_upcasts_to_todays() -> None:
    ledger = Ledger(domain)
    await by_an_earlier_release(ledger, first())
    await ledger.decide(JOIN)
    await ledger.decide(Join(member="bob", first_name="Bob", last_name="B"))
    report = await ledger.judge(domain)
    assert texts(report) == []
    assert (report.receipts, report.decided_again, report.events) == (3, 3, 2)


async def test_a_wrong_decision_of_an_earlier_release_is_found() -> None:
    ledger = Ledger(domain)
    await by_an_earlier_release(ledger, first(name="Eve Lovelace"))
    (found,) = texts(await ledger.judge(domain))
    assert "was accepted with MemberJoined, but the log up to 0 makes it accepted with MemberJoined" in found


async def test_a_decision_that_missed_older_events_is_found() -> None:
    ledger = Ledger(domain)
    await ledger.append([first()])
    await ledger.record(JOIN, Accepted(events=(ADA,)))
    found = texts(await ledger.judge(domain, since=1))
    assert any("was accepted with MemberJoined, but the log up to 1 makes it unchanged" in text for text in found), (
        found
    )


async def test_a_failing_upcaster_is_reported_with_the_event() -> None:
    ledger = Ledger(domain)
    await by_an_earlier_release(ledger, first())
    broken = replace(
        domain, upcasters=(SPLIT_NAME, replace(NAME_BRANCH, upcast=lambda payload: name_branch(payload["X"])))
    )
    found = texts(await ledger.judge(broken))
    assert any(
        "event 1 (MemberSignedUp) cannot be read: the upcaster of MemberSignedUp from version 2" in each
        for each in found
    )
