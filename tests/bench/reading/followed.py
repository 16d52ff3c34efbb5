"""The library with a projection that has a row for each event, for `worker run` and `worker project`."""

from dataclasses import replace
from datetime import datetime

from eventstore import Filter
from handlers import Change, DomainEvent, Projected, Projection, Table, library
from handlers.library.events import BookCopyLentToReader, ReaderRegistered

__all__ = ["domain", "lendings", "lendings_rows"]

lendings = Table("lendings", columns={"number": int, "book_id": str, "at": datetime}, key=("number",))
_recorded = Table("recorded", columns={"number": int, "what": str, "at": datetime}, key=("number",))


def lendings_rows(name: str) -> Projection:
    """Return a projection with this name and a row for each lending."""
    return Projection(
        name=name,
        events=Filter.matching().any_event_type_of(BookCopyLentToReader.__name__),
        tables=(lendings,),
        changes=_lending,
    )


def _lending(seen: Projected[DomainEvent]) -> Change | None:
    match seen.event:
        case BookCopyLentToReader(book_id=book_id):
            return lendings.insert(number=seen.number, book_id=book_id, at=seen.occurred_at)
        case _:
            return None


def _row(seen: Projected[DomainEvent]) -> Change | None:
    match seen.event:
        case BookCopyLentToReader(book_id=what) | ReaderRegistered(reader_id=what):
            return _recorded.insert(number=seen.number, what=what, at=seen.occurred_at)
        case _:
            return None


domain = replace(
    library.domain,
    name="followed",
    projections=(
        Projection(
            name="recorded",
            events=Filter.matching().any_event_type_of(BookCopyLentToReader.__name__, ReaderRegistered.__name__),
            tables=(_recorded,),
            changes=_row,
        ),
    ),
    reactions=(),
    relays=(),
)
