"""A copy of a book: the state that its commands are decided from."""

from dataclasses import dataclass, replace

from eventstore import Filter, P
from handlers.library.events import (
    BookCopyAddedToCirculation,
    BookCopyLentToReader,
    BookCopyRemovedFromCirculation,
    BookCopyReturnedByReader,
)
from handlers.model import DomainEvent
from handlers.view import View

__all__ = ["BookCopy", "book_copy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BookCopy:
    """The state of a copy.

    Attributes:
        added: Whether it was ever in circulation.
        in_circulation: Whether it can be lent at all.
        last_reader: The reader who has it, or had it last; None if it was never lent.
        lent: Whether that reader still has it.
    """

    added: bool = False
    in_circulation: bool = False
    last_reader: str | None = None
    lent: bool = False

    @property
    def holder(self) -> str | None:
        """The reader who has it, or None."""
        return self.last_reader if self.lent else None


def _events(book_id: str) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(
            BookCopyAddedToCirculation.__name__,
            BookCopyRemovedFromCirculation.__name__,
            BookCopyLentToReader.__name__,
            BookCopyReturnedByReader.__name__,
        )
        .and_any_predicate_of(P("BookID", book_id))
    )


def _evolve(copy: BookCopy, event: DomainEvent) -> BookCopy:
    match event:
        case BookCopyAddedToCirculation():
            return replace(copy, added=True, in_circulation=True)
        case BookCopyRemovedFromCirculation():
            return replace(copy, in_circulation=False)
        case BookCopyLentToReader(reader_id=reader):
            return replace(copy, last_reader=reader, lent=True)
        case BookCopyReturnedByReader():
            return replace(copy, lent=False)
        case _:
            return copy


book_copy = View(name="book-copy", events=_events, initial=lambda _: BookCopy(), evolve=_evolve)
