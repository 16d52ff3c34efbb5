"""A loan: the reader who has a copy, its due time, and whether it is overdue. Separate from the copy's other state."""

from dataclasses import dataclass, replace
from datetime import datetime

from eventstore import Filter, P
from handlers.library.events import (
    BookCopyLentToReader,
    BookCopyReturnedByReader,
    LoanBecameOverdue,
    LoanDueDateAgreed,
)
from handlers.model import DomainEvent
from handlers.view import View

__all__ = ["Loan", "loan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A copy's loan.

    Attributes:
        reader_id: The reader who has the copy, or None.
        due_at: The time by which it is to be returned; None if none was agreed.
        overdue: Whether it is recorded that the copy was not returned by then.
    """

    reader_id: str | None = None
    due_at: datetime | None = None
    overdue: bool = False


def _events(book_id: str) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(
            BookCopyLentToReader.__name__,
            BookCopyReturnedByReader.__name__,
            LoanDueDateAgreed.__name__,
            LoanBecameOverdue.__name__,
        )
        .and_any_predicate_of(P("BookID", book_id))
    )


def _evolve(loan: Loan, event: DomainEvent) -> Loan:
    match event:
        case BookCopyLentToReader(reader_id=reader):
            return Loan(reader_id=reader)
        case LoanDueDateAgreed(due_at=due_at):
            return replace(loan, due_at=due_at)
        case LoanBecameOverdue():
            return replace(loan, overdue=True)
        case BookCopyReturnedByReader():
            return Loan()
        case _:
            return loan


loan = View(name="loan", events=_events, initial=lambda _: Loan(), evolve=_evolve)
