"""Remove a copy from circulation."""

from pydantic import Field

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.library.book_copy import BookCopy, book_copy
from handlers.library.events import BookCopyRemovedFromCirculation, BookID, RemovingBookFromCirculationFailed
from handlers.model import Command

__all__ = ["CURRENTLY_LENT", "NEVER_ADDED", "RemoveBookCopyFromCirculation", "decider"]

NEVER_ADDED = "book was never added to circulation"
CURRENTLY_LENT = "book is currently lent"


class RemoveBookCopyFromCirculation(Command):
    """From now on the copy can no longer be lent. It must not be lent now."""

    book_id: BookID = Field(alias="BookID")


def _decide(command: RemoveBookCopyFromCirculation, copy: BookCopy) -> Decision:
    if not copy.added:
        return _rejected(command, NEVER_ADDED)
    if not copy.in_circulation:
        return Unchanged()
    if copy.lent:
        return _rejected(command, CURRENTLY_LENT)
    return Accepted(events=(BookCopyRemovedFromCirculation(book_id=command.book_id),))


def _rejected(command: RemoveBookCopyFromCirculation, reason: str) -> Rejected:
    return Rejected(reason=reason, event=RemovingBookFromCirculationFailed(book_id=command.book_id, reason=reason))


decider = Decider(
    command=RemoveBookCopyFromCirculation, parts=lambda command: book_copy.at(command.book_id), decide=_decide
)
