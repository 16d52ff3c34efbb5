"""All books: the copies in circulation, and the removed ones. For people and programs; no command reads these views."""

from pydantic import BaseModel, ConfigDict

from eventstore import Filter
from handlers.library.events import (
    BookCopyAddedToCirculation,
    BookCopyLentToReader,
    BookCopyRemovedFromCirculation,
    BookCopyReturnedByReader,
)
from handlers.model import DomainEvent
from handlers.persistent import PersistentMap, PersistentSet
from handlers.view import View

__all__ = ["Book", "books_in_circulation", "removed_books"]


class Book(BaseModel):
    """A copy in circulation."""

    model_config = ConfigDict(frozen=True)

    isbn: str
    title: str
    authors: str
    edition: str
    publisher: str
    publication_year: int
    lent: bool = False


Books = PersistentMap[str, Book]
"""Each copy in circulation, by its id."""
RemovedBooks = PersistentSet[str]
"""The ids of the copies that were removed and not added again."""


def _circulating(books: Books, event: DomainEvent) -> Books:
    match event:
        case BookCopyAddedToCirculation(book_id=book_id):
            return books.insert(book_id, Book(**event.model_dump(exclude={"book_id"})))
        case BookCopyRemovedFromCirculation(book_id=book_id):
            return books.discard(book_id)
        case BookCopyLentToReader(book_id=book_id) if book_id in books:
            return books.insert(book_id, books[book_id].model_copy(update={"lent": True}))
        case BookCopyReturnedByReader(book_id=book_id) if book_id in books:
            return books.insert(book_id, books[book_id].model_copy(update={"lent": False}))
        case _:
            return books


books_in_circulation = View(
    name="books-in-circulation",
    events=lambda: Filter.matching().any_event_type_of(
        BookCopyAddedToCirculation.__name__,
        BookCopyRemovedFromCirculation.__name__,
        BookCopyLentToReader.__name__,
        BookCopyReturnedByReader.__name__,
    ),
    initial=Books,
    evolve=_circulating,
    stored_every=20_000,
)


def _removed(books: RemovedBooks, event: DomainEvent) -> RemovedBooks:
    match event:
        case BookCopyRemovedFromCirculation(book_id=book_id):
            return books.insert(book_id)
        case BookCopyAddedToCirculation(book_id=book_id):
            return books.discard(book_id)
        case _:
            return books


removed_books = View(
    name="removed-books",
    events=lambda: Filter.matching().any_event_type_of(
        BookCopyAddedToCirculation.__name__, BookCopyRemovedFromCirculation.__name__
    ),
    initial=RemovedBooks,
    evolve=_removed,
    stored_every=20_000,
)
