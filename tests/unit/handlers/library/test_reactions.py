"""The library's reactions."""

from datetime import UTC, datetime

from handlers import Send
from handlers.library import domain
from handlers.library.events import BookCopyLentToReader, LoanDueDateAgreed, ReaderContractCanceled, ReaderRegistered
from handlers.library.mark_loan_overdue import MarkLoanOverdue
from handlers.library.reactions import overdue, release
from handlers.library.release_reservations import ReleaseReservations
from handlers.testing import kit

given = kit(domain)


def test_a_cancelled_contract_releases_the_readers_reservations() -> None:
    given(ReaderRegistered(reader_id="ada", name="Ada"), ReaderContractCanceled(reader_id="ada")).sends(
        release, [ReleaseReservations(reader_id="ada")]
    )


def test_a_lending_schedules_a_command_for_its_due_time() -> None:
    due = datetime(2027, 1, 31, 18, tzinfo=UTC)
    loan = {"book_id": "book", "reader_id": "ada"}
    given(BookCopyLentToReader(**loan), LoanDueDateAgreed(**loan, due_at=due)).sends(
        overdue, [Send(command=MarkLoanOverdue(**loan, at=due), at=due)]
    )
