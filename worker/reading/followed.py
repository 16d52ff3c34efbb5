"""The interface of projections, reactions and relays that the coordinator uses."""

from typing import TYPE_CHECKING, Protocol

from eventstore import EventStore, Filter, HistoryDiverged
from eventstore.postgres import Session
from handlers import Domain
from worker.reading.follower import Sink
from worker.reading.followers import Failure, FollowerName, FollowerRow
from worker.reading.skipped_events import SkippedEvents

if TYPE_CHECKING:  # it needs the AMQP library, which readers do not need
    from worker.reading.outlet import BrokerConnections

__all__ = ["Followed"]


class Followed(Protocol):
    """A projection, reaction or relay."""

    @property
    def domain(self) -> Domain:
        """The domain that declares it."""
        ...

    @property
    def name(self) -> FollowerName:
        """The name of its followers."""
        ...

    @property
    def version(self) -> int:
        """The declared version."""
        ...

    @property
    def events(self) -> Filter:
        """The filter of the events that it follows."""
        ...

    @property
    def is_final(self) -> bool:
        """Whether its effects cannot be undone: then the checkpoint must not fall behind them."""
        ...

    def fits(self, row: FollowerRow) -> bool:
        """Whether a follower is to be run."""
        ...

    def lacks_row(self, rows: list[FollowerRow]) -> bool:
        """Return whether a follower must be added to the existing ones of this name.

        Raises:
            FollowerError: It cannot be run with its declaration.
        """
        ...

    async def register(self, session: Session, store: EventStore) -> None:
        """Add a follower if one is missing, with everything that it needs.

        Raises:
            FollowerError: It cannot be run with its declaration or its database.
            EventStoreError: The database cannot be written, or the log cannot be read.
        """
        ...

    def sink(self, session: Session, skipped: SkippedEvents, outlet: "BrokerConnections | None") -> Sink:
        """Return the sink that processes the events.

        Args:
            session: A session with the database of the checkpoint, for the sink alone.
            skipped: The events to skip.
            outlet: The connections to the broker; None if nothing is sent.
        """
        ...

    async def promote(self, session: Session, follower_id: int, fence: int) -> bool:
        """Replace the current follower by one that has caught up with it; return whether that was done."""
        ...

    async def diverged(
        self, session: Session, store: EventStore, row: FollowerRow, fence: int, error: HistoryDiverged
    ) -> Failure | None:
        """Handle that the log was rewritten behind a follower's position.

        Returns:
            The failure that stops the follower; None if it goes on by itself.
        """
        ...
