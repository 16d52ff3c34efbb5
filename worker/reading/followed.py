"""What a domain declares to follow the log: a projection, a reaction or a relay, as the coordinator runs it."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from eventstore import EventStore, Filter, HistoryDiverged
from eventstore.postgres import Session
from handlers import Domain
from worker.reading.follower import Sink
from worker.reading.followers import Failure, FollowerName, FollowerRow

if TYPE_CHECKING:  # it needs the broker's library, and who only asks does not
    from worker.reading.outlet import Outlet

__all__ = ["Followed"]


class Followed(Protocol):
    """What follows the log."""

    @property
    def domain(self) -> Domain:
        """Whose it is."""
        ...

    @property
    def name(self) -> FollowerName:
        """What its followers are called."""
        ...

    @property
    def version(self) -> int:
        """Which version is declared."""
        ...

    @property
    def events(self) -> Filter:
        """Which events it follows."""
        ...

    @property
    def is_final(self) -> bool:
        """Whether what it does cannot be undone: its checkpoint must not be behind what it has done."""
        ...

    def fits(self, row: FollowerRow) -> bool:
        """Whether a follower is to be run."""
        ...

    def lacks_row(self, rows: list[FollowerRow]) -> bool:
        """Tell whether a follower is to be added, beside those that there are of its name.

        Raises:
            FollowerError: It cannot be run as it is declared.
        """
        ...

    async def register(self, session: Session, store: EventStore) -> None:
        """See that there is a follower, and what it needs.

        Raises:
            FollowerError: It cannot be run as it is declared, or as the database is.
            EventStoreError: The database or the log does not do it.
        """
        ...

    def sink(self, session: Session, skipped: Collection[int], outlet: "Outlet | None") -> Sink:
        """Return what takes the events.

        Args:
            session: The database of the checkpoint; nobody else uses it meanwhile.
            skipped: The numbers of events that are left out.
            outlet: The way to the broker; None where nothing is sent.
        """
        ...

    async def promote(self, session: Session, follower_id: int, fence: int) -> bool:
        """Have a follower that has caught up take the place of the one before it; return whether it has."""
        ...

    async def diverged(
        self, session: Session, store: EventStore, row: FollowerRow, fence: int, error: HistoryDiverged
    ) -> Failure | None:
        """Note that the log was rewritten behind a follower.

        Returns:
            What stops it on that account; None where it goes on by itself.
        """
        ...
