"""A reader: the contract, and the books that the reader has."""

from dataclasses import dataclass, replace

from eventstore import Filter, P
from handlers.library.events import (
    BookCopyLentToReader,
    BookCopyReturnedByReader,
    ReaderContractCanceled,
    ReaderRegistered,
)
from handlers.model import DomainEvent
from handlers.view import View

__all__ = ["Reader", "reader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The state of a reader.

    Attributes:
        ever_registered: Whether the reader ever had a contract.
        registered: Whether the reader may lend books.
        books: The copies that the reader has.
    """

    ever_registered: bool = False
    registered: bool = False
    books: frozenset[str] = frozenset()


def _events(reader_id: str) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(
            ReaderRegistered.__name__,
            ReaderContractCanceled.__name__,
            BookCopyLentToReader.__name__,
            BookCopyReturnedByReader.__name__,
        )
        .and_any_predicate_of(P("ReaderID", reader_id))
    )


def _evolve(reader: Reader, event: DomainEvent) -> Reader:
    match event:
        case ReaderRegistered():
            return replace(reader, ever_registered=True, registered=True)
        case ReaderContractCanceled():
            return replace(reader, registered=False)
        case BookCopyLentToReader(book_id=book):
            return replace(reader, books=reader.books | {book})
        case BookCopyReturnedByReader(book_id=book):
            return replace(reader, books=reader.books - {book})
        case _:
            return reader


reader = View(name="reader", events=_events, initial=lambda _: Reader(), evolve=_evolve)
