"""Remove a copy from circulation."""

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
    RemovingBookFromCirculationFailed,
)

__all__ = ["CURRENTLY_LENT", "NEVER_ADDED", "RemoveBookCopyFromCirculation", "decider"]

NEVER_ADDED = "book was never added to circulation"
CURRENTLY_LENT = "book is currently lent"


class RemoveBookCopyFromCirculation(Command):
    """From now on the copy can no longer be lent. It must not be lent now."""

    book_id: BookID = Field(alias="BookID")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    added: bool = False
    in_circulation: bool = False
    lent: bool = False


def _boundary(command: RemoveBookCopyFromCirculation) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(
            BookCopyAddedToCirculation.__name__,
            BookCopyRemovedFromCirculation.__name__,
            BookCopyLentToReader.__name__,
            BookCopyReturnedByReader.__name__,
        )
        .and_any_predicate_of(P("BookID", command.book_id))
    )


def _evolve(copy: _Copy, event: DomainEvent) -> _Copy:
    match event:
        case BookCopyAddedToCirculation():
            return replace(copy, added=True, in_circulation=True)
        case BookCopyRemovedFromCirculation():
            return replace(copy, in_circulation=False)
        case BookCopyLentToReader():
            return replace(copy, lent=True)
        case BookCopyReturnedByReader():
            return replace(copy, lent=False)
        case _:
            return copy


def _decide(command: RemoveBookCopyFromCirculation, copy: _Copy) -> Decision:
    if not copy.added:
        return _rejected(command, NEVER_ADDED)
    if not copy.in_circulation:
        return Unchanged()
    if copy.lent:
        return _rejected(command, CURRENTLY_LENT)
    return Accepted(events=(BookCopyRemovedFromCirculation(book_id=command.book_id),))


def _rejected(command: RemoveBookCopyFromCirculation, reason: str) -> Rejected:
    return Rejected(reason=reason, event=RemovingBookFromCirculationFailed(book_id=command.book_id, reason=reason))


decider = Decider(
    command=RemoveBookCopyFromCirculation,
    boundary=_boundary,
    initial=lambda _: _Copy(),
    evolve=_evolve,
    decide=_decide,
)
