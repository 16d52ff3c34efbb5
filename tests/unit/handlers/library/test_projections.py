"""The library's read models."""

from handlers.library import domain
from handlers.library.events import BookCopyLentToReader, BookCopyReturnedByReader
from handlers.library.projections import books_lent_out, lent_out, reader_history, readers_lendings
from handlers.testing import kit

given = kit(domain)


def lent(book: str, reader: str) -> BookCopyLentToReader:
    return BookCopyLentToReader(book_id=book, reader_id=reader)


def returned(book: str, reader: str) -> BookCopyReturnedByReader:
    return BookCopyReturnedByReader(book_id=book, reader_id=reader)


def test_a_book_is_lent_out_until_it_is_returned() -> None:
    given(lent("b1", "ada"), returned("b1", "ada")).fills(lent_out, {books_lent_out: []})


def test_a_readers_history_keeps_each_lending_and_return() -> None:
    events = [domain.to_record(each, {}) for each in (lent("b1", "ada"), returned("b1", "ada"), lent("b1", "bob"))]
    given(*events).fills(
        readers_lendings,
        {
            reader_history: [
                {"number": 1, "reader_id": "ada", "book_id": "b1", "what": "lent", "at": events[0].occurred_at},
                {"number": 2, "reader_id": "ada", "book_id": "b1", "what": "returned", "at": events[1].occurred_at},
                {"number": 3, "reader_id": "bob", "book_id": "b1", "what": "lent", "at": events[2].occurred_at},
            ]
        },
    )
    given(*events).fills(
        lent_out, {books_lent_out: [{"book_id": "b1", "reader_id": "bob", "lent_at": events[2].occurred_at}]}
    )
