"""Take a copy back from a reader."""

from dataclasses import dataclass, replace

from pydantic import Field

from eventstore import Filter, P
from handlers.decider import Accepted, Command, Decider, Decision, DomainEvent, Rejected, Unchanged
from handlers.library.events import (
    BookCopyAddedToCirculation,
    BookCopyLentToReader,
    BookCopyReturnedByReader,
    BookID,
    ReaderID,
    ReaderRegistered,
    ReturningBookFromReaderFailed,
)

__all__ = ["NEVER_ADDED", "NEVER_REGISTERED", "NOT_LENT_TO_READER", "ReturnBookCopyFromReader", "decider"]

NEVER_ADDED = "book was never added to circulation"
NEVER_REGISTERED = "reader was never registered"
NOT_LENT_TO_READER = "book is not lent to this reader"


class ReturnBookCopyFromReader(Command):
    """The reader brings the copy back; also one that was removed, and also after the contract was cancelled."""

    book_id: BookID = Field(alias="BookID")
    reader_id: ReaderID = Field(alias="ReaderID")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Return:
    """What matters of the copy and of the reader.

    Attributes:
        added: Whether the copy was ever in circulation.
        registered: Whether the reader ever had a contract.
        last_reader: Who had the copy last, or has it; None if nobody ever had.
        lent: Whether that reader still has it.
    """

    added: bool = False
    registered: bool = False
    last_reader: str | None = None
    lent: bool = False


def _boundary(command: ReturnBookCopyFromReader) -> Filter:
    """The copy's history, and of the reader's only whether there ever was a contract."""
    return (
        Filter.matching()
        .any_event_type_of(
            BookCopyAddedToCirculation.__name__, BookCopyLentToReader.__name__, BookCopyReturnedByReader.__name__
        )
        .and_any_predicate_of(P("BookID", command.book_id))
        .or_matching()
        .any_event_type_of(ReaderRegistered.__name__)
        .and_any_predicate_of(P("ReaderID", command.reader_id))
    )


def _evolve(state: _Return, event: DomainEvent) -> _Return:
    match event:
        case BookCopyAddedToCirculation():
            return replace(state, added=True)
        case ReaderRegistered():
            return replace(state, registered=True)
        case BookCopyLentToReader(reader_id=reader):
            return replace(state, last_reader=reader, lent=True)
        case BookCopyReturnedByReader():
            return replace(state, lent=False)
        case _:
            return state


def _decide(command: ReturnBookCopyFromReader, state: _Return) -> Decision:
    if not state.added:
        return _rejected(command, NEVER_ADDED)
    if not state.registered:
        return _rejected(command, NEVER_REGISTERED)
    if state.last_reader != command.reader_id:
        return _rejected(command, NOT_LENT_TO_READER)
    if not state.lent:
        return Unchanged()
    return Accepted(events=(BookCopyReturnedByReader(book_id=command.book_id, reader_id=command.reader_id),))


def _rejected(command: ReturnBookCopyFromReader, reason: str) -> Rejected:
    failure = ReturningBookFromReaderFailed(book_id=command.book_id, reader_id=command.reader_id, reason=reason)
    return Rejected(reason=reason, event=failure)


decider = Decider(
    command=ReturnBookCopyFromReader,
    boundary=_boundary,
    initial=lambda _: _Return(),
    evolve=_evolve,
    decide=_decide,
)
