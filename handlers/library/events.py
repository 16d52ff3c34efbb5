"""The events of a lending library. Their JSON names are those of a well-known example of the field."""

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from handlers.model import DomainEvent

__all__ = [
    "BookCopyAddedToCirculation",
    "BookCopyLentToReader",
    "BookCopyRemovedFromCirculation",
    "BookCopyReservedByReader",
    "BookCopyReturnedByReader",
    "BookID",
    "CancelingReaderContractFailed",
    "LendingBookToReaderFailed",
    "LoanBecameOverdue",
    "LoanDueDateAgreed",
    "ReaderContractCanceled",
    "ReaderID",
    "ReaderRegistered",
    "RemovingBookFromCirculationFailed",
    "ReservationReleased",
    "ReturningBookFromReaderFailed",
]

BookID = Annotated[str, StringConstraints(min_length=1, max_length=100)]
"""The id of one physical copy of a book; another copy of the same title has another id."""
ReaderID = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class BookCopyAddedToCirculation(DomainEvent):
    """A copy can be lent from now on."""

    book_id: str = Field(alias="BookID")
    isbn: str = Field(alias="ISBN")
    title: str = Field(alias="Title")
    authors: str = Field(alias="Authors")
    edition: str = Field(alias="Edition")
    publisher: str = Field(alias="Publisher")
    publication_year: int = Field(alias="PublicationYear")


class BookCopyRemovedFromCirculation(DomainEvent):
    """A copy can no longer be lent."""

    book_id: str = Field(alias="BookID")


class ReaderRegistered(DomainEvent):
    """A reader may lend books from now on."""

    reader_id: str = Field(alias="ReaderID")
    name: str = Field(alias="Name")


class ReaderContractCanceled(DomainEvent):
    """A reader may lend no more books."""

    reader_id: str = Field(alias="ReaderID")


class BookCopyLentToReader(DomainEvent):
    """A reader took a copy home."""

    book_id: str = Field(alias="BookID")
    reader_id: str = Field(alias="ReaderID")


class BookCopyReturnedByReader(DomainEvent):
    """A reader brought a copy back."""

    book_id: str = Field(alias="BookID")
    reader_id: str = Field(alias="ReaderID")


class LoanDueDateAgreed(DomainEvent):
    """A reader who took a copy home is to bring it back by this time."""

    book_id: str = Field(alias="BookID")
    reader_id: str = Field(alias="ReaderID")
    due_at: AwareDatetime = Field(alias="DueAt")


class LoanBecameOverdue(DomainEvent):
    """A reader did not bring a copy back in time."""

    book_id: str = Field(alias="BookID")
    reader_id: str = Field(alias="ReaderID")
    due_at: AwareDatetime = Field(alias="DueAt")


class BookCopyReservedByReader(DomainEvent):
    """A reader is waiting for a copy."""

    book_id: str = Field(alias="BookID")
    reader_id: str = Field(alias="ReaderID")


class ReservationReleased(DomainEvent):
    """A reader is no longer waiting for a copy."""

    book_id: str = Field(alias="BookID")
    reader_id: str = Field(alias="ReaderID")


class RemovingBookFromCirculationFailed(DomainEvent):
    """A copy stays in circulation, or was never in it."""

    book_id: str = Field(alias="BookID")
    reason: str = Field(alias="Reason")


class CancelingReaderContractFailed(DomainEvent):
    """A contract stays, or never existed."""

    reader_id: str = Field(alias="ReaderID")
    reason: str = Field(alias="Reason")


class LendingBookToReaderFailed(DomainEvent):
    """A reader did not get a copy."""

    book_id: str = Field(alias="BookID")
    reader_id: str = Field(alias="ReaderID")
    reason: str = Field(alias="Reason")


class ReturningBookFromReaderFailed(DomainEvent):
    """A copy was not taken back."""

    book_id: str = Field(alias="BookID")
    reader_id: str = Field(alias="ReaderID")
    reason: str = Field(alias="Reason")
