"""Any sequence of commands keeps all invariants, and the oracle confirms every answer."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import MemoryEventStore
from handlers.decider import Command
from handlers.library import domain
from handlers.library.cancel_reader_contract import CancelReaderContract
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.mark_loan_overdue import MarkLoanOverdue
from handlers.library.register_reader import RegisterReader
from handlers.library.remove_book_copy import RemoveBookCopyFromCirculation
from handlers.library.return_book_copy import ReturnBookCopyFromReader
from tests.unit.handlers.library.facts import DUE, add
from worker.load.oracle import judge
from worker.load.oracle_report import OracleReport
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings

# More books than a reader may have, so that the quota applies; few readers, so that they conflict.
SHELF = [f"book {number}" for number in range(12)]
BOOKS, READERS = st.sampled_from(SHELF), st.sampled_from(["r", "s"])
TIMES = st.sampled_from([DUE, DUE + timedelta(days=1)])
COMMANDS = st.one_of(
    BOOKS.map(add),
    st.builds(RemoveBookCopyFromCirculation, BookID=BOOKS),
    st.builds(RegisterReader, ReaderID=READERS, Name=st.just("…")),
    st.builds(CancelReaderContract, ReaderID=READERS),
    st.builds(LendBookCopyToReader, BookID=BOOKS, ReaderID=READERS, DueAt=st.none() | TIMES),
    st.builds(MarkLoanOverdue, BookID=BOOKS, ReaderID=READERS, At=TIMES),
    st.builds(ReturnBookCopyFromReader, BookID=BOOKS, ReaderID=READERS),
)
OPEN_LIBRARY: list[Command] = [*map(add, SHELF), RegisterReader(reader_id="r", name="…")]
TAKEN_HOME: list[Command] = [LendBookCopyToReader(book_id=book, reader_id="r") for book in SHELF[:10]]


async def judged(commands: Sequence[Command]) -> OracleReport:
    """Decide the commands one after another, as a worker does, and have the oracle judge the log."""
    store = MemoryEventStore()
    scheduler = Scheduler(store, domain, Settings())
    sent = {uuid4(): command for command in commands}
    for command_id, command in sent.items():
        await scheduler.process(
            CommandMessage(
                command_id=command_id,
                command_type=type(command).__name__,
                body=json.dumps(command.model_dump(by_alias=True, mode="json")).encode(),
                correlation_id=str(command_id),
                causation_id=str(command_id),
                headers={},
            )
        )
    await scheduler.close()
    return await judge(store, domain, sent)


@given(st.lists(COMMANDS, max_size=40), st.sampled_from([[], OPEN_LIBRARY, [*OPEN_LIBRARY, *TAKEN_HOME]]))
@settings(max_examples=150)
def test_no_sequence_of_commands_breaks_an_invariant(commands: list[Command], before: list[Command]) -> None:
    verdict = asyncio.run(judged([*before, *commands]))
    assert verdict.violations == []
    assert verdict.receipts == verdict.decided_again == len(before) + len(commands)
