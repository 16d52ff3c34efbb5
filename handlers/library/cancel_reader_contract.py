"""Cancel a reader's contract."""

from pydantic import Field

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.library.events import CancelingReaderContractFailed, ReaderContractCanceled, ReaderID
from handlers.library.reader import Reader, reader
from handlers.model import Command

__all__ = ["NEVER_REGISTERED", "OUTSTANDING_LOANS", "CancelReaderContract", "decider"]

NEVER_REGISTERED = "reader was never registered"
OUTSTANDING_LOANS = "reader has outstanding loans"


class CancelReaderContract(Command):
    """From now on the reader may lend no more books. Every book must be back."""

    reader_id: ReaderID = Field(alias="ReaderID")


def _decide(command: CancelReaderContract, reader: Reader) -> Decision:
    if not reader.ever_registered:
        return _rejected(command, NEVER_REGISTERED)
    if not reader.registered:
        return Unchanged()
    if reader.books:
        return _rejected(command, OUTSTANDING_LOANS)
    return Accepted(events=(ReaderContractCanceled(reader_id=command.reader_id),))


def _rejected(command: CancelReaderContract, reason: str) -> Rejected:
    return Rejected(reason=reason, event=CancelingReaderContractFailed(reader_id=command.reader_id, reason=reason))


decider = Decider(command=CancelReaderContract, parts=lambda command: reader.at(command.reader_id), decide=_decide)
