"""Reserve a copy for a reader."""

from pydantic import Field

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.library.book_copy import BookCopy, book_copy
from handlers.library.contract import Contract, contract
from handlers.library.events import BookCopyReservedByReader, BookID, ReaderID
from handlers.library.reservations import Reservations, reservations
from handlers.model import Command

__all__ = [
    "MOST_RESERVATIONS",
    "NOT_IN_CIRCULATION",
    "NOT_REGISTERED",
    "TOO_MANY_RESERVATIONS",
    "ReserveBookCopy",
    "decider",
]

MOST_RESERVATIONS = 10
"""The largest number of copies that a reader may wait for at a time."""

NOT_REGISTERED = "reader is not registered"
NOT_IN_CIRCULATION = "book is not in circulation"
TOO_MANY_RESERVATIONS = f"reader has {MOST_RESERVATIONS} reservations"


class ReserveBookCopy(Command):
    """The reader waits for the copy."""

    book_id: BookID = Field(alias="BookID")
    reader_id: ReaderID = Field(alias="ReaderID")


def _decide(command: ReserveBookCopy, copy: BookCopy, contract: Contract, reserved: Reservations) -> Decision:
    if command.book_id in reserved:
        return Unchanged()
    if not contract.valid:
        return Rejected(reason=NOT_REGISTERED)
    if not copy.in_circulation:
        return Rejected(reason=NOT_IN_CIRCULATION)
    if len(reserved) >= MOST_RESERVATIONS:
        return Rejected(reason=TOO_MANY_RESERVATIONS)
    return Accepted(events=(BookCopyReservedByReader(book_id=command.book_id, reader_id=command.reader_id),))


decider = Decider(
    command=ReserveBookCopy,
    parts=lambda command: (
        book_copy.at(command.book_id),
        contract.at(command.reader_id),
        reservations.at(command.reader_id),
    ),
    decide=_decide,
)
