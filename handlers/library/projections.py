"""Read models of the library: data that is too large for a view, kept in tables."""

from collections.abc import Iterable
from datetime import datetime

from eventstore import Filter
from handlers.library.events import BookCopyLentToReader, BookCopyReturnedByReader
from handlers.model import DomainEvent
from handlers.projection import Projected, Projection
from handlers.row_change import Change
from handlers.table import Table

__all__ = ["books_lent_out", "lent_out", "reader_history", "readers_lendings"]

_LENDINGS = Filter.matching().any_event_type_of(BookCopyLentToReader.__name__, BookCopyReturnedByReader.__name__)

books_lent_out = Table(
    "books_lent_out",
    columns={"book_id": str, "reader_id": str, "lent_at": datetime},
    key=("book_id",),
    # By time: a search for overdue loans asks for those from before a day. The lendings hold no due time.
    indexes=(("reader_id",), ("lent_at",)),
)
reader_history = Table(
    "reader_history",
    columns={"number": int, "reader_id": str, "book_id": str, "what": str, "at": datetime},
    key=("number",),
    indexes=(("reader_id", "number"),),
)


def _lent_out(seen: Projected[DomainEvent]) -> Change | None:
    match seen.event:
        case BookCopyLentToReader(book_id=book_id, reader_id=reader_id):
            return books_lent_out.upsert(book_id=book_id, reader_id=reader_id, lent_at=seen.occurred_at)
        case BookCopyReturnedByReader(book_id=book_id):
            return books_lent_out.delete(book_id=book_id)
        case _:
            return None


def _history(seen: Projected[DomainEvent]) -> Iterable[Change]:
    match seen.event:
        case BookCopyLentToReader(book_id=book_id, reader_id=reader_id):
            what = "lent"
        case BookCopyReturnedByReader(book_id=book_id, reader_id=reader_id):
            what = "returned"
        case _:
            return ()
    row = reader_history.insert(
        number=seen.number, reader_id=reader_id, book_id=book_id, what=what, at=seen.occurred_at
    )
    return (row,)


lent_out = Projection(name="books-lent-out", events=_LENDINGS, tables=(books_lent_out,), changes=_lent_out)
readers_lendings = Projection(name="reader-history", events=_LENDINGS, tables=(reader_history,), changes=_history)
