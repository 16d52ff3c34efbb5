"""Outputs: reactions and relays, which send what cannot be unsent. Each has one follower, whatever becomes of it."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from eventstore import Consistency, EventStore, Filter, HistoryArchived, HistoryDiverged, Position
from eventstore.position import START
from eventstore.postgres import Session
from handlers import Domain, Reaction, Relay
from worker.errors import FollowerError
from worker.reading.follower import Sink
from worker.reading.followers import Failure, FollowerName, FollowerRow, Followers

if TYPE_CHECKING:  # it needs the broker's library, and who only asks does not
    from worker.reading.outlet import Outlet

__all__ = ["REACTION", "RELAY", "Output", "position_before"]

_log = logging.getLogger(__name__)

REACTION, RELAY = "reaction", "relay"
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
# It never changes: under another name, it is another one.
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A reaction or a relay as its domain declares it."""

    domain: Domain
    output: Reaction | Relay

    @property
    def name(self) -> FollowerName:
        """What its follower is called."""
        kind = REACTION if isinstance(self.output, Reaction) else RELAY
        return FollowerName(kind=kind, domain=self.domain.name, name=self.output.name)

    @property
    def version(self) -> int:
        """Always 1."""
        return _VERSION

    @property
    def events(self) -> Filter:
        """Which events it follows."""
        if self.output.events is not None:
            return self.output.events
        # By every name that they had, too: what is relayed has that of today.
        return Filter.matching().any_event_type_of(*self.domain.event_models)

    @property
    def is_final(self) -> bool:
        """See ``Followed``: nothing that was sent is rolled back."""
        return True

    def fits(self, row: FollowerRow) -> bool:  # noqa: ARG002  as ``Followed`` has it
        """See ``Followed``: there is one, and it is run."""
        return True

    def lacks_row(self, rows: list[FollowerRow]) -> bool:
        """Whether it was never run."""
        return not rows

    async def register(self, session: Session, store: EventStore) -> None:
        """See that there is a follower. The first time, it begins where it is declared to."""
        async with session.transaction() as transaction:
            if await Followers(transaction).of(self.name):
                return
        at = START if self.output.begins == "start" else await store.position()
        async with session.transaction() as transaction:
            followers = Followers(transaction)
            await followers.lock(self.name)
            if not await followers.of(self.name):
                await followers.add_at(self.name, version=_VERSION, position=at, head=at.number)

    def sink(self, session: Session, skipped: Collection[int], outlet: "Outlet | None") -> Sink:
        """See ``Followed``."""
        if outlet is None:
            raise FollowerError(f"{self.name} has no way to the broker")
        if isinstance(self.output, Reaction):
            from worker.reading.reaction_sink import ReactionSink  # noqa: PLC0415  it needs the broker's library

            return ReactionSink(self.domain, self.output, session, outlet, skipped)
        from worker.reading.relay_sink import RelaySink  # noqa: PLC0415  the same

        return RelaySink(self.domain, self.output, session, outlet, skipped)

    async def promote(self, session: Session, follower_id: int, fence: int) -> bool:  # noqa: ARG002  as ``Followed`` has it
        """See ``Followed``: there is nothing to take the place of."""
        return False

    async def diverged(
        self,
        session: Session,
        store: EventStore,
        row: FollowerRow,
        fence: int,
        error: HistoryDiverged,  # noqa: ARG002  it tells of the last position alone
    ) -> Failure | None:
        """See ``Followed``: it stops, until a person says where it goes on."""
        number, is_exact = await _first_other(store, row)
        which = f"from event {number} on" if is_exact else f"at or before event {number}"
        told = f"the log was rewritten {which}, and what was sent on account of the events before stays sent"
        async with session.transaction() as transaction:
            await Followers(transaction).stop_diverged(row.follower_id, fence, from_number=number, error=told)
        return Failure(number=number, event_type="", error=told, trace="")


async def position_before(store: EventStore, number: int | None) -> tuple[Position, int]:
    """Return the position behind which an event is the next one, and how far the log is.

    Args:
        store: The log.
        number: The event's number; None for what is recorded from now on.

    Raises:
        FollowerError: The log is not so far; or the event before is archived, and is not the last of its range.
        EventStoreError: It cannot be read.
    """
    head = await store.position()
    if number is None:
        return head, head.number
    if number > head.number + 1:
        raise FollowerError(f"the log is at event {head.number}, so that there is no event {number} to go on from yet")
    if number == 1:
        return START, head.number
    before = number - 1
    try:
        async for event in store.read(Filter.matching_any_event().narrowed_above(before - 1), up_to=before):
            return event.position, head.number
    except HistoryArchived as archived:
        if before != archived.last:
            raise FollowerError(
                f"events {archived.first:,} to {archived.last:,} are archived: go on from {archived.last + 1}, or "
                "restore them first with `worker db restore-archive`"
            ) from archived
        return await _end_of_archived(store, before), head.number
    raise FollowerError(f"the log has no event {before}")


async def _end_of_archived(store: EventStore, last: int) -> Position:
    """Return the position of the last event of an archived range, which is all that is known of its events' own."""
    nothing = Filter.matching_any_event().occurred_until(_BEFORE_ALL).narrowed_above(last - 1)
    async for window in store.follow(nothing, batch_size=1, consistency=Consistency.STRONG):
        return window.position
    raise RuntimeError("the log has come to an end")


async def _first_other(store: EventStore, row: FollowerRow) -> tuple[int, bool]:
    """Return the first event that is another one than what was followed; and whether that is known, or the latest."""
    head = await store.position()
    last = row.position.number
    for place, position in enumerate(row.trail):
        if position.number <= head.number and await _has(store, position):
            if place == 0:
                break
            return position.number + 1, True
        last = position.number
    else:
        return last, False
    # It has all of what is on record; what was sent behind that is lost, with the checkpoint.
    return row.position.number + 1, True


async def _has(store: EventStore, position: Position) -> bool:
    if position == START:
        return True
    number = position.number
    async for event in store.read(Filter.matching_any_event().narrowed_above(number - 1), up_to=number):
        return event.position == position
    return False
