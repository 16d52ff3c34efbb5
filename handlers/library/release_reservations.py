"""Release the reservations of a reader who no longer has a contract."""

from pydantic import Field

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Unchanged
from handlers.library.contract import Contract, contract
from handlers.library.events import ReaderID, ReservationReleased
from handlers.library.reservations import Reservations, reservations
from handlers.model import Command

__all__ = ["ReleaseReservations", "decider"]


class ReleaseReservations(Command):
    """The reader no longer waits for any copy. The reservations of a reader who has registered again are kept."""

    reader_id: ReaderID = Field(alias="ReaderID")


def _decide(command: ReleaseReservations, contract: Contract, reserved: Reservations) -> Decision:
    if contract.valid or not reserved:
        return Unchanged()
    released = (ReservationReleased(book_id=book, reader_id=command.reader_id) for book in sorted(reserved))
    return Accepted(events=tuple(released))


decider = Decider(
    command=ReleaseReservations,
    parts=lambda command: (contract.at(command.reader_id), reservations.at(command.reader_id)),
    decide=_decide,
)
