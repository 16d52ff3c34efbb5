"""The reservations of a reader: the copies that the reader waits for. They do not stop others from lending one."""

from eventstore import Filter, P
from handlers.library.events import BookCopyLentToReader, BookCopyReservedByReader, ReservationReleased
from handlers.model import DomainEvent
from handlers.view import View

__all__ = ["Reservations", "reservations"]

Reservations = frozenset[str]
"""The ids of the copies."""


def _events(reader_id: str) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(
            BookCopyReservedByReader.__name__, ReservationReleased.__name__, BookCopyLentToReader.__name__
        )
        .and_any_predicate_of(P("ReaderID", reader_id))
    )


def _evolve(reserved: Reservations, event: DomainEvent) -> Reservations:
    match event:
        case BookCopyReservedByReader(book_id=book):
            return reserved | {book}
        case ReservationReleased(book_id=book) | BookCopyLentToReader(book_id=book):
            return reserved - {book}
        case _:
            return reserved


reservations = View(name="reservations", events=_events, initial=lambda _: Reservations(), evolve=_evolve)
