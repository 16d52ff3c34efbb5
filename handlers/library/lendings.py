"""All lendings: the copies that are lent out, the books of a reader, and finished lendings. No command reads them."""

from dataclasses import dataclass

from eventstore import Filter, P
from handlers.library.events import BookCopyLentToReader, BookCopyReturnedByReader
from handlers.model import DomainEvent
from handlers.persistent import PersistentMap
from handlers.view import View

__all__ = ["LATEST", "FinishedLendings", "Lending", "finished_lendings", "lent_by_reader", "lent_out"]

LATEST = 100
"""The number of finished lendings that are kept individually."""

LentOut = PersistentMap[str, str]
"""The reader who has a copy, by the copy's id."""


@dataclass(frozen=True, slots=True)
class Lending:
    """A copy that was lent to a reader."""

    book_id: str
    reader_id: str


@dataclass(frozen=True, slots=True)
class FinishedLendings:
    """The finished lendings.

    Attributes:
        count: The number of finished lendings.
        latest: The latest of them, newest last. A state that kept all of them would grow without limit.
    """

    count: int = 0
    latest: tuple[Lending, ...] = ()


def _lent(lent: LentOut, event: DomainEvent) -> LentOut:
    match event:
        case BookCopyLentToReader(book_id=book_id, reader_id=reader_id):
            return lent.insert(book_id, reader_id)
        case BookCopyReturnedByReader(book_id=book_id):
            return lent.discard(book_id)
        case _:
            return lent


def _finished(finished: FinishedLendings, event: DomainEvent) -> FinishedLendings:
    match event:
        case BookCopyReturnedByReader(book_id=book_id, reader_id=reader_id):
            latest = (*finished.latest, Lending(book_id, reader_id))[-LATEST:]
            return FinishedLendings(finished.count + 1, latest)
        case _:
            return finished


def _of_reader(reader_id: str) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(BookCopyLentToReader.__name__, BookCopyReturnedByReader.__name__)
        .and_any_predicate_of(P("ReaderID", reader_id))
    )


def _books(books: frozenset[str], event: DomainEvent) -> frozenset[str]:
    match event:
        case BookCopyLentToReader(book_id=book_id):
            return books | {book_id}
        case BookCopyReturnedByReader(book_id=book_id):
            return books - {book_id}
        case _:
            return books


lent_out = View(
    name="lent-out",
    events=lambda: Filter.matching().any_event_type_of(
        BookCopyLentToReader.__name__, BookCopyReturnedByReader.__name__
    ),
    initial=LentOut,
    evolve=_lent,
    stored_every=20_000,
)
finished_lendings = View(
    name="finished-lendings",
    events=lambda: Filter.matching().any_event_type_of(BookCopyReturnedByReader.__name__),
    initial=FinishedLendings,
    evolve=_finished,
    stored_every=20_000,
)
lent_by_reader = View(name="lent-by-reader", events=_of_reader, initial=lambda _: frozenset[str](), evolve=_books)
