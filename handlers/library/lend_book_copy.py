"""Lend a copy to a reader: two entities, one decision."""

from pydantic import AwareDatetime, Field

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.library.book_copy import BookCopy, book_copy
from handlers.library.events import (
    BookCopyLentToReader,
    BookID,
    LendingBookToReaderFailed,
    LoanDueDateAgreed,
    ReaderID,
)
from handlers.library.reader import Reader, reader
from handlers.model import Command

__all__ = [
    "LENT_TO_ANOTHER",
    "MOST_BOOKS",
    "NOT_IN_CIRCULATION",
    "NOT_REGISTERED",
    "TOO_MANY_BOOKS",
    "LendBookCopyToReader",
    "decider",
]

MOST_BOOKS = 10
"""The largest number of books that a reader may have at a time."""

NOT_REGISTERED = "reader is not registered"
NOT_IN_CIRCULATION = "book is not in circulation"
LENT_TO_ANOTHER = "book is lent to another reader"
TOO_MANY_BOOKS = f"reader has {MOST_BOOKS} books"


class LendBookCopyToReader(Command):
    """The reader takes the copy home, to bring it back by ``DueAt`` if that is given."""

    book_id: BookID = Field(alias="BookID")
    reader_id: ReaderID = Field(alias="ReaderID")
    due_at: AwareDatetime | None = Field(alias="DueAt", default=None)


def _decide(command: LendBookCopyToReader, copy: BookCopy, reader: Reader) -> Decision:
    if copy.holder == command.reader_id:
        return Unchanged()
    if not reader.registered:
        return _rejected(command, NOT_REGISTERED)
    if not copy.in_circulation:
        return _rejected(command, NOT_IN_CIRCULATION)
    if copy.holder is not None:
        return _rejected(command, LENT_TO_ANOTHER)
    if len(reader.books) >= MOST_BOOKS:
        return _rejected(command, TOO_MANY_BOOKS)
    lent = BookCopyLentToReader(book_id=command.book_id, reader_id=command.reader_id)
    return Accepted(events=(lent, *_due(command)))


def _due(command: LendBookCopyToReader) -> tuple[LoanDueDateAgreed, ...]:
    if command.due_at is None:
        return ()
    return (LoanDueDateAgreed(book_id=command.book_id, reader_id=command.reader_id, due_at=command.due_at),)


def _rejected(command: LendBookCopyToReader, reason: str) -> Rejected:
    failure = LendingBookToReaderFailed(book_id=command.book_id, reader_id=command.reader_id, reason=reason)
    return Rejected(reason=reason, event=failure)


decider = Decider(
    command=LendBookCopyToReader,
    parts=lambda command: (book_copy.at(command.book_id), reader.at(command.reader_id)),
    decide=_decide,
)
