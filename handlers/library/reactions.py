"""What the library does by itself when something has happened, and what it tells others."""

from eventstore import Filter
from handlers.library.events import ReaderContractCanceled
from handlers.library.release_reservations import ReleaseReservations
from handlers.model import Command, DomainEvent
from handlers.projection import Projected
from handlers.reaction import Reaction
from handlers.relay import Relay

__all__ = ["announcements", "release"]


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

announcements = Relay(name="announcements", subject="BookID")
