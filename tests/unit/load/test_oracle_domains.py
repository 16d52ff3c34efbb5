"""The oracle judges one domain beside others in the same log, and several that one run sent commands to."""

from uuid import uuid4

from eventstore import Event, Filter, Outcome, OutcomeKind, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Invariant, Unchanged, View
from handlers.domain import Check
from tests.unit.load.counting import Count, domain
from tests.unit.load.ledger import Ledger, texts


class Ring(Command):
    Key: str


class Rung(DomainEvent):
    Key: str


def decide(command: Ring, rung: bool) -> Decision:  # noqa: FBT001  the state is a single truth
    return Unchanged() if rung else Accepted(events=(Rung(Key=command.Key),))


def never_twice() -> Check:
    seen: set[str] = set()

    def check(number: int, event: DomainEvent) -> str | None:
        if not isinstance(event, Rung):
            return f"event {number} is no bell's"
        if event.Key in seen:
            return f"event {number} rings {event.Key} again"
        seen.add(event.Key)
        return None

    return check


rung = View(
    name="counter",  # the other domain has one of this name
    events=lambda key: Filter.matching().any_event_type_of("Rung").and_any_predicate_of(P("Key", key)),
    initial=lambda _key: False,
    evolve=lambda *_: True,
)
bells = Domain(
    name="bells",
    views=(rung,),
    deciders=(Decider(command=Ring, parts=lambda command: rung.at(command.Key), decide=decide),),
    events=(Rung,),
    invariants=(Invariant(name="never twice", start=never_twice),),
)


async def both() -> Ledger:
    ledger = Ledger()
    for key in "aba":
        await ledger.decide(Count(key=key))
        await ledger.decide(Ring(Key=key), bells)
    return ledger


async def test_two_domains_are_judged_together() -> None:
    report = await (await both()).judge(domain, beside=[bells])
    assert texts(report) == []
    assert (report.receipts, report.decided_again, report.invariants) == (6, 6, ("never twice",))


async def test_a_wrong_decision_of_either_is_found() -> None:
    ledger = await both()
    key = await ledger.record(Ring(Key="a"), Accepted(events=(Rung(Key="a"),)), bells)
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
    ledger.commands[key] = Ring(Key="y")
    event = Event(type="Rung", payload={"Key": "y"}, metadata={"command_id": str(key)})
    outcome = Outcome(kind=OutcomeKind.ACCEPTED, details={"domain": "counting"})
    await ledger.append([event], key=key, outcome=outcome)
    (found,) = texts(await ledger.judge(domain, beside=[bells]))
    assert found.startswith(f"Ring {key} cannot be decided again at 5: the domain counting has no command 'Ring'")
