"""The oracle on PostgreSQL: it finds what somebody with all rights planted in a database, and else nothing."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventstore.postgres import PostgresEventStore
from handlers.decider import Command
from handlers.library import domain
from handlers.library.cancel_reader_contract import CancelReaderContract
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.return_book_copy import ReturnBookCopyFromReader
from handlers.library.scenarios.loans import addition, registration
from tests.support.fixtures.databases import Database
from worker.load.oracle import judge
from worker.load.oracle_report import OracleReport
from worker.message import CommandMessage, Reply
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings

LENT = LendBookCopyToReader(book_id="b1", reader_id="r1")
COMMANDS: tuple[Command, ...] = (
    registration("r1"),
    registration("r2"),
    addition("b1"),
    addition("b2"),
    LENT,
    LendBookCopyToReader(book_id="b1", reader_id="r2"),
    LENT,
    CancelReaderContract(reader_id="r1"),
    ReturnBookCopyFromReader(book_id="b1", reader_id="r1"),
    LendBookCopyToReader(book_id="b1", reader_id="r2"),
)


@dataclass
class Run:
    """Commands that were decided as a worker does, and the owner's connection to their database."""

    store: PostgresEventStore
    owner: "asyncpg.Connection[asyncpg.Record]"
    commands: dict[UUID, Command] = field(default_factory=dict)
    replies: dict[UUID, list[Reply]] = field(default_factory=dict)

    async def decide(self, command: Command) -> None:
        key = uuid4()
        message = CommandMessage(
            command_id=key,
            command_type=type(command).__name__,
            body=json.dumps(command.model_dump(by_alias=True)).encode(),
            correlation_id=str(key),
            causation_id=str(key),
            headers={},
        )
        receipt = (await Scheduler(self.store, domain, Settings()).process(message)).receipt
        outcome = receipt.outcome
        reply = Reply(
            command_id=key,
            outcome=outcome.kind.value,
            reason=outcome.reason,
            first=receipt.first,
            last=receipt.last,
            position=receipt.position,
        )
        self.commands[key] = command
        self.replies[key] = [reply]

    async def judge(self) -> OracleReport:
        return await judge(self.store, domain, self.commands, self.replies)


@pytest.fixture
async def run(database: Database) -> AsyncIterator[Run]:
    owner = await asyncpg.connect(database.admin_url)
    try:
        async with PostgresEventStore.connect(database.url) as store:
            made = Run(store, owner)
            for command in COMMANDS:
                await made.decide(command)
            yield made
    finally:
        await owner.close()


async def test_what_a_worker_decided_is_right(run: Run) -> None:
    verdict = await run.judge()
    assert verdict.violations == []
    assert (verdict.receipts, verdict.decided_again) == (len(COMMANDS), len(COMMANDS))
    assert len(verdict.invariants) == 5


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        pytest.param(
            "UPDATE eventstore.events SET payload = jsonb_set(payload, '{ReaderID}', '\"r2\"') "
            "WHERE sequence_number = 5",
            lambda text: "a copy is lent to one reader at a time: event" in text,
            id="payload",
        ),
        pytest.param(
            "UPDATE eventstore.events SET event_type = 'BookCopyReturnedByReader' WHERE sequence_number = 5",
            lambda text: "but nobody has it" in text,
            id="type",
        ),
        pytest.param(
            "DELETE FROM eventstore.events WHERE sequence_number = 5",
            lambda text: text == "event 6 stands where number 5 belongs",
            id="lost event",
        ),
        pytest.param(
            "DELETE FROM eventstore.receipts WHERE reason = 'book is lent to another reader'",
            lambda text: text.startswith("LendBookCopyToReader ") and text.endswith("was published, but never settled"),
            id="lost receipt",
        ),
        pytest.param(
            "DELETE FROM eventstore.receipts WHERE reason = 'book is lent to another reader'",
            lambda text: text.startswith("event 6 (LendingBookToReaderFailed) stands in no receipt"),
            id="event without receipt",
        ),
        pytest.param(
            "UPDATE eventstore.receipts SET outcome = 'accepted', reason = NULL WHERE outcome = 'unchanged'",
            lambda text: "was accepted with no event, but the log up to" in text and "unchanged with no event" in text,
            id="outcome",
        ),
        pytest.param(
            "UPDATE eventstore.receipts SET position = position - 3 WHERE outcome = 'unchanged'",
            lambda text: "was unchanged with no event, but the log up to 3 makes it accepted" in text,
            id="validated too early",
        ),
        pytest.param(
            "UPDATE eventstore.events SET metadata = metadata - 'command_id' WHERE sequence_number = 5",
            lambda text: text.startswith("event 5 stands in the receipt of another command, "),
            id="another's event",
        ),
        pytest.param(
            "UPDATE eventstore.receipts SET first_number = 5, last_number = 5 WHERE first_number = 6",
            lambda text: text.startswith("event 5 stands in the receipts of "),
            id="event in two receipts",
        ),
        pytest.param(
            "UPDATE eventstore.receipts SET key = gen_random_uuid() WHERE first_number = 1",
            lambda text: "was settled, but is none of this run" in text,
            id="unknown command",
        ),
        pytest.param(
            "UPDATE eventstore.receipts SET reason = 'because' WHERE reason IS NOT NULL",
            lambda text: text.endswith("was answered rejected, unlike its receipt"),
            id="reply",
        ),
    ],
)
async def test_what_was_planted_is_found(run: Run, planted: str, found: Callable[[str], bool]) -> None:
    # The database refuses such changes even to its owner, until the guard is taken away.
    async with run.owner.transaction():
        await run.owner.execute("ALTER TABLE eventstore.events DISABLE TRIGGER USER")
        done = await run.owner.execute(planted)
        assert done.split()[-1] != "0"
    verdict = await run.judge()
    assert any(found(violation.text) for violation in verdict.violations), [str(each) for each in verdict.violations]
    assert verdict.violation_count >= 1
