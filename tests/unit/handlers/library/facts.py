"""Short constructors of the library's events."""

from datetime import UTC, datetime

from handlers.decider import DomainEvent
from handlers.library import events
from handlers.library.add_book_copy import AddBookCopyToCirculation

DETAILS = {
    "isbn": "978-0-201-03801-3",
    "title": "The Art of Computer Programming",
    "authors": "Donald Knuth",
    "edition": "1st",
    "publisher": "Addison-Wesley",
    "publication_year": 1968,
}


def add(book: str) -> AddBookCopyToCirculation:
    return AddBookCopyToCirculation.model_validate({"book_id": book, **DETAILS})


def added(book: str) -> DomainEvent:
    return events.BookCopyAddedToCirculation.model_validate({"book_id": book, **DETAILS})


def removed(book: str) -> DomainEvent:
    return events.BookCopyRemovedFromCirculation(book_id=book)


def registered(reader: str) -> DomainEvent:
    return events.ReaderRegistered(reader_id=reader, name=f"{reader} Lovelace")


def cancelled(reader: str) -> DomainEvent:
    return events.ReaderContractCanceled(reader_id=reader)


def lent(book: str, reader: str) -> DomainEvent:
    return events.BookCopyLentToReader(book_id=book, reader_id=reader)


DUE = datetime(2027, 1, 31, 18, tzinfo=UTC)


def due(book: str, reader: str, at: datetime = DUE) -> DomainEvent:
    return events.LoanDueDateAgreed(book_id=book, reader_id=reader, due_at=at)


def overdue(book: str, reader: str, at: datetime = DUE) -> DomainEvent:
    return events.LoanBecameOverdue(book_id=book, reader_id=reader, due_at=at)


def returned(book: str, reader: str) -> DomainEvent:
    return events.BookCopyReturnedByReader(book_id=book, reader_id=reader)


def reserved(book: str, reader: str) -> DomainEvent:
    return events.BookCopyReservedByReader(book_id=book, reader_id=reader)
