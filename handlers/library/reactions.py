"""Commands that the library sends after events, and the events that it publishes."""

from eventstore import Filter
from handlers.library.events import LoanDueDateAgreed, ReaderContractCanceled
from handlers.library.mark_loan_overdue import MarkLoanOverdue
from handlers.library.release_reservations import ReleaseReservations
from handlers.model import Command, DomainEvent
from handlers.projection import Projected
from handlers.reaction import Reaction, Send
from handlers.relay import Relay

__all__ = ["announcements", "overdue", "release"]


def _release(seen: Projected[DomainEvent]) -> Command | None:
    match seen.event:
        case ReaderContractCanceled(reader_id=reader_id):
            return ReleaseReservations(reader_id=reader_id)
        case _:
            return None


release = Reaction(
    name="release-reservations",
    events=Filter.matching().any_event_type_of(ReaderContractCanceled.__name__),
    commands=_release,
)


def _overdue(seen: Projected[DomainEvent]) -> Send | None:
    match seen.event:
        case LoanDueDateAgreed(book_id=book_id, reader_id=reader_id, due_at=due_at):
            # The command carries the time: its decider uses no clock.
            return Send(command=MarkLoanOverdue(book_id=book_id, reader_id=reader_id, at=due_at), at=due_at)
        case _:
            return None


overdue = Reaction(
    name="mark-overdue",
    events=Filter.matching().any_event_type_of(LoanDueDateAgreed.__name__),
    commands=_overdue,
)

announcements = Relay(name="announcements", subject="BookID")
