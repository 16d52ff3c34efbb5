"""Cancel a reader's contract."""

from dataclasses import dataclass, replace

from pydantic import Field

from eventstore import Filter, P
from handlers.decider import Accepted, Command, Decider, Decision, DomainEvent, Rejected, Unchanged
from handlers.library.events import (
    BookCopyLentToReader,
    BookCopyReturnedByReader,
    CancelingReaderContractFailed,
    ReaderContractCanceled,
    ReaderID,
    ReaderRegistered,
)

__all__ = ["NEVER_REGISTERED", "OUTSTANDING_LOANS", "CancelReaderContract", "decider"]

NEVER_REGISTERED = "reader was never registered"
OUTSTANDING_LOANS = "reader has outstanding loans"


class CancelReaderContract(Command):
    """From now on the reader may lend no more books. Every book must be back."""

    reader_id: ReaderID = Field(alias="ReaderID")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    ever_registered: bool = False
    under_contract: bool = False
    loans: int = 0


def _boundary(command: CancelReaderContract) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(
            ReaderRegistered.__name__,
            ReaderContractCanceled.__name__,
            BookCopyLentToReader.__name__,
            BookCopyReturnedByReader.__name__,
        )
        .and_any_predicate_of(P("ReaderID", command.reader_id))
    )


def _evolve(reader: _Reader, event: DomainEvent) -> _Reader:
    match event:
        case ReaderRegistered():
            return replace(reader, ever_registered=True, under_contract=True)
        case ReaderContractCanceled():
            return replace(reader, under_contract=False)
        case BookCopyLentToReader():
            return replace(reader, loans=reader.loans + 1)
        case BookCopyReturnedByReader():
            return replace(reader, loans=reader.loans - 1)
        case _:
            return reader


def _decide(command: CancelReaderContract, reader: _Reader) -> Decision:
    if not reader.ever_registered:
        return _rejected(command, NEVER_REGISTERED)
    if not reader.under_contract:
        return Unchanged()
    if reader.loans > 0:
        return _rejected(command, OUTSTANDING_LOANS)
    return Accepted(events=(ReaderContractCanceled(reader_id=command.reader_id),))


def _rejected(command: CancelReaderContract, reason: str) -> Rejected:
    return Rejected(reason=reason, event=CancelingReaderContractFailed(reader_id=command.reader_id, reason=reason))


decider = Decider(
    command=CancelReaderContract,
    boundary=_boundary,
    initial=lambda _: _Reader(),
    evolve=_evolve,
    decide=_decide,
)
