"""Take a copy back from a reader."""

from pydantic import Field

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.library.book_copy import BookCopy, book_copy
from handlers.library.contract import Contract, contract
from handlers.library.events import BookCopyReturnedByReader, BookID, ReaderID, ReturningBookFromReaderFailed
from handlers.model import Command

__all__ = ["NEVER_ADDED", "NEVER_REGISTERED", "NOT_LENT_TO_READER", "ReturnBookCopyFromReader", "decider"]

NEVER_ADDED = "book was never added to circulation"
NEVER_REGISTERED = "reader was never registered"
NOT_LENT_TO_READER = "book is not lent to this reader"


class ReturnBookCopyFromReader(Command):
    """The reader brings the copy back, even if it was removed from circulation or the contract was cancelled."""

    book_id: BookID = Field(alias="BookID")
    reader_id: ReaderID = Field(alias="ReaderID")


def _decide(command: ReturnBookCopyFromReader, copy: BookCopy, contract: Contract) -> Decision:
    if not copy.added:
        return _rejected(command, NEVER_ADDED)
    if not contract.ever:
        return _rejected(command, NEVER_REGISTERED)
    if copy.last_reader != command.reader_id:
        return _rejected(command, NOT_LENT_TO_READER)
    if not copy.lent:
        return Unchanged()
    return Accepted(events=(BookCopyReturnedByReader(book_id=command.book_id, reader_id=command.reader_id),))


def _rejected(command: ReturnBookCopyFromReader, reason: str) -> Rejected:
    failure = ReturningBookFromReaderFailed(book_id=command.book_id, reader_id=command.reader_id, reason=reason)
    return Rejected(reason=reason, event=failure)


decider = Decider(
    command=ReturnBookCopyFromReader,
    parts=lambda command: (book_copy.at(command.book_id), contract.at(command.reader_id)),
    decide=_decide,
)
