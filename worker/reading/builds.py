"""Builds: each version of a projection fills tables of its own, and then replaces the version before."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventstore import EventStore, Filter, HistoryDiverged
from eventstore.postgres import Session, Transaction
from handlers import Domain, Projection
from worker.errors import ProjectionError
from worker.reading.follower import Sink
from worker.reading.followers import Failure, FollowerName, FollowerRow, Followers
from worker.reading.lease import IDLE_SECONDS
from worker.reading.projection_sink import ProjectionSink
from worker.reading.skipped_events import SkippedEvents
from worker.reading.tables import drop_tables, make_tables, show_tables, tables_of

if TYPE_CHECKING:  # it needs the AMQP library, which readers do not need
    from worker.reading.outlet import BrokerConnections

__all__ = ["KIND", "Declared", "Superseded", "drop_retired"]

_log = logging.getLogger(__name__)

KIND = "projection"
# New readers queue behind a lock request that waits for current readers.
_LOCK_TIMEOUT = "500ms"


class Superseded(ProjectionError):
    """Raised when there is a later version of a projection than the one in this program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A projection as its domain declares it."""

    domain: Domain
    projection: Projection

    @property
    def name(self) -> FollowerName:
        """The name of its followers."""
        return FollowerName(kind=KIND, domain=self.domain.name, name=self.projection.name)

    @property
    def version(self) -> int:
        """The declared version."""
        return self.projection.version

    @property
    def events(self) -> Filter:
        """The filter of the events that it is made of."""
        return self.projection.events

    @property
    def is_final(self) -> bool:
        """False: tables are rolled back together with their checkpoint."""
        return False

    def fits(self, row: FollowerRow) -> bool:
        """Whether a follower has this version, and is not derived from a rewritten history."""
        return row.version == self.projection.version and row.diverged_at is None

    def lacks_row(self, rows: list[FollowerRow]) -> bool:
        """Return whether a follower of this version must be added to the existing ones of this name.

        Raises:
            Superseded: Readers see a later version, or a later one is being built and readers do not see this one.
            ProjectionError: There is a follower of this version with tables of another form.
        """
        for row in rows:
            if row.version > self.version and row.is_current:
                raise self._superseded(f"readers read version {row.version}")
            if row.version == self.version and row.is_current and row.layout != self.projection.layout:
                raise ProjectionError(
                    f"the tables of {self.name} are declared differently from those of version {self.version}: raise "
                    "its version"
                )
        fitting = [row for row in rows if self.fits(row) and row.layout == self.projection.layout]
        if (later := self._later(rows)) is not None and not any(row.is_current for row in fitting):
            raise self._superseded(f"version {later.version} is being built")
        return not fitting

    async def register(self, session: Session, store: EventStore | None = None) -> None:  # noqa: ARG002  the signature of ``Followed``
        """Add a follower of this version if there is none, with empty tables, beside those of other versions.

        Readers see the tables of the first follower from the beginning.

        Raises:
            Superseded: There is a later version: as in ``lacks_row``.
            ProjectionError: Tables of this version have another form; or a schema or table has another owner.
            EventStoreError: The database cannot be written.
        """
        async with session.transaction(**_limits()) as transaction:
            followers = Followers(transaction)
            await followers.lock(self.name)
            rows = await followers.of(self.name)
            if not self.lacks_row(rows):
                return
            for row in rows:
                if not row.is_current:
                    await followers.retire(row.follower_id)
            await self._add(transaction, is_current=not any(row.is_current for row in rows))

    async def rebuild(self, session: Session) -> bool:
        """Begin to build it anew, beside the tables that readers see.

        Returns:
            Whether this call began a build; False if one was in progress. A build that an event has stopped is begun
            anew.

        Raises:
            Superseded: There is a later version: as in ``register``; or a process builds one now. A build that no
                process runs is replaced.
            ProjectionError, EventStoreError: The tables cannot be made: as in ``register``.
        """
        await self.register(session)
        async with session.transaction(**_limits()) as transaction:
            followers = Followers(transaction)
            await followers.lock(self.name)
            rows = await followers.of(self.name)
            if (later := self._later(rows)) is not None and later.is_leased:
                raise self._superseded(f"version {later.version} is being built")
            for row in rows:
                if not row.is_current:
                    if row.failure is None and self.fits(row):
                        return False
                    await followers.retire(row.follower_id)
            await self._add(transaction, is_current=False)
            return True

    def sink(self, session: Session, skipped: SkippedEvents, outlet: "BrokerConnections | None") -> Sink:  # noqa: ARG002  the same
        """Return the sink that writes its tables; see ``Followed``."""
        return ProjectionSink(self.domain, self.projection, session, skipped)

    async def promote(self, session: Session, follower_id: int, fence: int) -> bool:
        """Let readers see a new build, if it has caught up with the one that they see.

        Returns:
            Whether readers see it now. If not, try again later.

        Raises:
            ProjectionError: The views cannot be replaced: as in ``show_tables``.
            EventStoreError: The database cannot do it now; readers may have locked the old tables.
        """
        async with session.transaction(**_limits()) as transaction:
            followers = Followers(transaction)
            await followers.lock(self.name)
            # Neither follower advances from here on. A position that readers were given stays valid.
            rows = await followers.hold(self.name)
            new = next((row for row in rows if row.follower_id == follower_id and row.fence == fence), None)
            old = next((row for row in rows if row.is_current), None)
            if new is None or new is old or new.diverged_at is not None:
                return False
            gone: list[str] = []
            if old is not None:
                if old.diverged_at is None and old.position.number > new.position.number:
                    return False
                gone = await tables_of(transaction, old.follower_id)
                await followers.retire(old.follower_id)
            if not await followers.promote(follower_id, fence):
                return False
            await show_tables(transaction, self.domain.name, follower_id, self.projection.tables, gone=gone)
            return True

    async def diverged(
        self,
        session: Session,
        store: EventStore,  # noqa: ARG002  the same
        row: FollowerRow,
        fence: int,
        error: HistoryDiverged,
    ) -> Failure | None:
        """Mark the follower for a rebuild; see ``Followed``."""
        _log.error("%s: the log was rewritten at or before its position; it is rebuilt: %s", row.name, error)
        async with session.transaction() as transaction:
            await Followers(transaction).diverge(row.follower_id, fence)
        return None

    def _later(self, rows: list[FollowerRow]) -> FollowerRow | None:
        """Return the follower of a later version that is being built; None if there is none."""
        return next((row for row in rows if row.version > self.version and not row.is_current), None)

    def _superseded(self, there_is: str) -> Superseded:
        return Superseded(
            f"{self.name} has version {self.version} in this program, and {there_is}: stop this program, or raise its "
            "version to go back"
        )

    async def _add(self, transaction: Transaction, *, is_current: bool) -> None:
        follower_id = await Followers(transaction).add(
            self.name, version=self.version, layout=self.projection.layout, is_current=is_current
        )
        await make_tables(transaction, follower_id, self.projection)
        if is_current:
            await show_tables(transaction, self.domain.name, follower_id, self.projection.tables)


async def drop_retired(session: Session) -> None:
    """Drop the tables of builds that were replaced, each in a transaction of its own.

    Raises:
        EventStoreError: A table cannot be dropped now.
    """
    async with session.transaction() as transaction:
        retired = await Followers(transaction).retired()
    for follower_id in retired:
        async with session.transaction(**_limits()) as transaction:
            await drop_tables(transaction, follower_id)


def _limits() -> dict[str, str]:
    return {
        "idle_in_transaction_session_timeout": f"{5 * IDLE_SECONDS}s",
        # From PostgreSQL 17 on. It also ends a process that is frozen between two exchanges: see
        # ``Transaction.prepare``.
        "transaction_timeout": f"{5 * IDLE_SECONDS}s",
        "lock_timeout": _LOCK_TIMEOUT,
    }
