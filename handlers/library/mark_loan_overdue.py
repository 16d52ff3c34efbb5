"""Mark a loan overdue: the command carries the present time."""

from pydantic import AwareDatetime, Field

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.library.events import BookID, LoanBecameOverdue, ReaderID
from handlers.library.loan import Loan, loan
from handlers.model import Command

__all__ = ["NOT_DUE", "MarkLoanOverdue", "decider"]

NOT_DUE = "loan is not due yet"


class MarkLoanOverdue(Command):
    """The copy was not returned. Scheduled for the time at which the loan is due, and carries that time.

    A decider uses no clock: it would decide differently when it is called again.
    """

    book_id: BookID = Field(alias="BookID")
    reader_id: ReaderID = Field(alias="ReaderID")
    at: AwareDatetime = Field(alias="At")


def _decide(command: MarkLoanOverdue, loan: Loan) -> Decision:
    if loan.reader_id != command.reader_id or loan.due_at is None or loan.overdue:
        return Unchanged()  # the copy is back, or there is no due time
    if command.at < loan.due_at:
        return Rejected(reason=NOT_DUE)  # for instance a command for an earlier loan
    overdue = LoanBecameOverdue(book_id=command.book_id, reader_id=command.reader_id, due_at=loan.due_at)
    return Accepted(events=(overdue,))


decider = Decider(command=MarkLoanOverdue, parts=lambda command: loan.at(command.book_id), decide=_decide)
