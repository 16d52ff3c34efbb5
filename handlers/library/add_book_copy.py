"""Add a copy to circulation."""

from pydantic import Field

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Unchanged
from handlers.library.book_copy import BookCopy, book_copy
from handlers.library.events import BookCopyAddedToCirculation, BookID
from handlers.model import Command

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


def _decide(command: AddBookCopyToCirculation, copy: BookCopy) -> Decision:
    if copy.in_circulation:
        return Unchanged()
    return Accepted(events=(BookCopyAddedToCirculation(**command.model_dump()),))


decider = Decider(command=AddBookCopyToCirculation, parts=lambda command: book_copy.at(command.book_id), decide=_decide)
