"""Mark a loan overdue: what time it is, the command says."""

from pydantic import AwareDatetime, Field

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.library.events import BookID, LoanBecameOverdue, ReaderID
from handlers.library.loan import Loan, loan
from handlers.model import Command

__all__ = ["NOT_DUE", "MarkLoanOverdue", "decider"]

NOT_DUE = "loan is not due yet"


class MarkLoanOverdue(Command):
    """The copy is not back. Scheduled for the moment that the loan is due at, with that moment in it.

    A decider asks no clock: it would decide otherwise when it is asked again.
    """

    book_id: BookID = Field(alias="BookID")
    reader_id: ReaderID = Field(alias="ReaderID")
    at: AwareDatetime = Field(alias="At")


def _decide(command: MarkLoanOverdue, loan: Loan) -> Decision:
    if loan.reader_id != command.reader_id or loan.due_at is None or loan.overdue:
        return Unchanged()  # it is back, or there is nothing to wait for
    if command.at < loan.due_at:
        return Rejected(reason=NOT_DUE)  # of an earlier loan, for one
    overdue = LoanBecameOverdue(book_id=command.book_id, reader_id=command.reader_id, due_at=loan.due_at)
    return Accepted(events=(overdue,))


decider = Decider(command=MarkLoanOverdue, parts=lambda command: loan.at(command.book_id), decide=_decide)
