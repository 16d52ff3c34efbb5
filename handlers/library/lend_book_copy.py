"""Lend a copy to a reader: two entities, one decision."""

from dataclasses import dataclass, replace

from pydantic import Field

from eventstore import Filter, P
from handlers.decider import Accepted, Command, Decider, Decision, DomainEvent, Rejected, Unchanged
from handlers.library.events import (
    BookCopyAddedToCirculation,
    BookCopyLentToReader,
    BookCopyRemovedFromCirculation,
    BookCopyReturnedByReader,
    BookID,
    LendingBookToReaderFailed,
    ReaderContractCanceled,
    ReaderID,
    ReaderRegistered,
)

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
"""How many books a reader may have at a time."""

NOT_REGISTERED = "reader is not registered"
NOT_IN_CIRCULATION = "book is not in circulation"
LENT_TO_ANOTHER = "book is lent to another reader"
TOO_MANY_BOOKS = f"reader has {MOST_BOOKS} books"


class LendBookCopyToReader(Command):
    """The reader takes the copy home."""

    book_id: BookID = Field(alias="BookID")
    reader_id: ReaderID = Field(alias="ReaderID")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lending:
    """What matters of the copy and of the reader.

    Attributes:
        book_id: The copy.
        reader_id: The reader.
        in_circulation: Whether the copy can be lent at all.
        holder: Who has the copy, or None.
        registered: Whether the reader may lend books.
        books: The copies that the reader has.
    """

    book_id: str
    reader_id: str
    in_circulation: bool = False
    holder: str | None = None
    registered: bool = False
    books: frozenset[str] = frozenset()


def _boundary(command: LendBookCopyToReader) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(
            BookCopyAddedToCirculation.__name__,
            BookCopyRemovedFromCirculation.__name__,
            ReaderRegistered.__name__,
            ReaderContractCanceled.__name__,
            BookCopyLentToReader.__name__,
            BookCopyReturnedByReader.__name__,
        )
        .and_any_predicate_of(P("BookID", command.book_id), P("ReaderID", command.reader_id))
    )


def _evolve(state: _Lending, event: DomainEvent) -> _Lending:  # noqa: PLR0911  one return a kind of event
    """The boundary also holds the reader's other books, and the copy's other readers."""
    match event:
        case BookCopyAddedToCirculation():
            return replace(state, in_circulation=True)
        case BookCopyRemovedFromCirculation():
            return replace(state, in_circulation=False)
        case ReaderRegistered():
            return replace(state, registered=True)
        case ReaderContractCanceled():
            return replace(state, registered=False)
        case BookCopyLentToReader(book_id=book, reader_id=reader):
            return replace(
                state,
                holder=reader if book == state.book_id else state.holder,
                books=state.books | {book} if reader == state.reader_id else state.books,
            )
        case BookCopyReturnedByReader(book_id=book, reader_id=reader):
            return replace(
                state,
                holder=None if book == state.book_id else state.holder,
                books=state.books - {book} if reader == state.reader_id else state.books,
            )
        case _:
            return state


def _decide(command: LendBookCopyToReader, state: _Lending) -> Decision:
    if state.holder == command.reader_id:
        return Unchanged()
    if not state.registered:
        return _rejected(command, NOT_REGISTERED)
    if not state.in_circulation:
        return _rejected(command, NOT_IN_CIRCULATION)
    if state.holder is not None:
        return _rejected(command, LENT_TO_ANOTHER)
    if len(state.books) >= MOST_BOOKS:
        return _rejected(command, TOO_MANY_BOOKS)
    return Accepted(events=(BookCopyLentToReader(book_id=command.book_id, reader_id=command.reader_id),))


def _rejected(command: LendBookCopyToReader, reason: str) -> Rejected:
    failure = LendingBookToReaderFailed(book_id=command.book_id, reader_id=command.reader_id, reason=reason)
    return Rejected(reason=reason, event=failure)


decider = Decider(
    command=LendBookCopyToReader,
    boundary=_boundary,
    initial=lambda command: _Lending(book_id=command.book_id, reader_id=command.reader_id),
    evolve=_evolve,
    decide=_decide,
)
