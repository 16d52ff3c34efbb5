"""The oracle and erased subjects: it decides again from readable values, and counts other decisions separately."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from eventstore import Event, MemoryEventStore, Subject
from handlers import Command, InvalidMasterKey
from tests.support.domains.guests import FORGOTTEN, SETTINGS, Count, Greet, Register, domain, master
from tests.unit.load.ledger import texts
from tests.unit.worker.staged import command as message
from worker.load.oracle import judge
from worker.load.oracle_report import OracleReport
from worker.rounds.scheduler import Scheduler

ADA = Subject("Guest", "ada")


@dataclass
class Run:
    store: MemoryEventStore
    scheduler: Scheduler
    commands: dict[UUID, Command] = field(default_factory=dict)

    async def decide(self, *commands: Command) -> None:
        for command in commands:
            sent = message(type(command).__name__, **command.model_dump(by_alias=True))
            self.commands[sent.command_id] = command
            await self.scheduler.process(sent)

    async def judge(self, **options: Any) -> OracleReport:
        return await judge(self.store, domain, self.commands, **({"master": master()} | options))


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    store = MemoryEventStore()
    made = Run(store, Scheduler(store, domain, SETTINGS))
    await made.decide(
        Register(guest="ada", name="Ada"),
        Register(guest="bob", name="Bob"),
        Greet(guest="ada"),
        Greet(guest="bob"),
        Register(guest="ada", name="Ada"),
        Count(at_least=2),
    )
    yield made
    await made.scheduler.close()


async def test_sealed_values_are_opened_to_decide_again(run: Run) -> None:
    report = await run.judge()
    assert report.violations == []
    assert (report.decided_again, report.forgotten) == (6, 0)


async def test_a_long_part_is_folded_from_opened_values(run: Run) -> None:
    await run.decide(*(Register(guest=f"g{number}", name=f"Guest {number}") for number in range(40)))
    await run.decide(Count(at_least=42))
    report = await run.judge()
    assert report.violations == []
    assert report.compared


async def test_decisions_on_values_erased_later_are_counted_separately(run: Run) -> None:
    await run.store.forget(ADA)
    await run.decide(Greet(guest="ada"), Greet(guest="bob"), Register(guest="ada", name="Ada again"))
    report = await run.judge()
    assert texts(report) == []
    # All decisions on the subject except those before her first event, and all decisions on all guests' names.
    assert (report.decided_again, report.forgotten) == (9, 6)


async def test_decisions_without_erased_values_are_judged(run: Run) -> None:
    await run.store.forget(ADA)
    greeting = next(at for at, event in enumerate(run.store._log.events) if event.payload.get("Words") == "Hello Bob")
    run.store._log.events[greeting] = replace(
        run.store._log.events[greeting], payload={"Guest": "bob", "Words": f"Hello {FORGOTTEN}"}
    )
    report = await run.judge()
    (violation,) = report.violations
    assert violation.text.startswith("Greet ")
    # The recorded event shows it.
    assert "Bob" not in str(violation.events)


async def test_a_value_that_differs_from_the_sealed_one_is_a_violation(run: Run) -> None:
    first = run.store._log.events[0]
    value = {**first.metadata["sealed"]["Name"], "value": "AAAA"}
    run.store._log.events[0] = replace(first, metadata={**first.metadata, "sealed": {"Name": value}})
    found = texts(await run.judge())
    assert "event 1 (GuestRegistered) cannot be read: the sealed value of Name is not what was sealed" in found


async def test_without_a_master_key_nothing_is_judged(run: Run) -> None:
    with pytest.raises(InvalidMasterKey, match="the domain guests has events with Sensitive fields, and no master key"):
        await run.judge(master=None)


async def test_an_event_of_another_program_still_has_no_receipt(run: Run) -> None:
    await run.store.append([Event(type="GuestGreeted", payload={"Guest": "ada", "Words": ""})])
    assert "event 6 (GuestGreeted) stands in no receipt" in texts(await run.judge())
