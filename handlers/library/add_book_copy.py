"""Add a copy to circulation."""

from pydantic import Field

from eventstore import Filter, P
from handlers.decider import Accepted, Command, Decider, Decision, DomainEvent, Unchanged
from handlers.library.events import BookCopyAddedToCirculation, BookCopyRemovedFromCirculation, BookID

__all__ = ["AddBookCopyToCirculation", "decider"]


class AddBookCopyToCirculation(Command):
    """From now on the copy can be lent. One that was removed can be added again."""

    book_id: BookID = Field(alias="BookID")
    isbn: str = Field(alias="ISBN")
    title: str = Field(alias="Title")
    authors: str = Field(alias="Authors")
    edition: str = Field(alias="Edition")
    publisher: str = Field(alias="Publisher")
    publication_year: int = Field(alias="PublicationYear")


def _boundary(command: AddBookCopyToCirculation) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(BookCopyAddedToCirculation.__name__, BookCopyRemovedFromCirculation.__name__)
        .and_any_predicate_of(P("BookID", command.book_id))
    )


def _is_in_circulation(_: bool, event: DomainEvent) -> bool:  # noqa: FBT001  the state is a single truth
    return isinstance(event, BookCopyAddedToCirculation)


def _decide(command: AddBookCopyToCirculation, in_circulation: bool) -> Decision:  # noqa: FBT001  as above
    if in_circulation:
        return Unchanged()
    return Accepted(events=(BookCopyAddedToCirculation(**command.model_dump()),))


decider = Decider(
    command=AddBookCopyToCirculation,
    boundary=_boundary,
    initial=lambda _: False,
    evolve=_is_in_circulation,
    decide=_decide,
)
