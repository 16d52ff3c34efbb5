"""Outputs: reactions and relays, which send messages that cannot be undone. Each has one follower for ever."""

import logging
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
from worker.reading.skipped_events import SkippedEvents

if TYPE_CHECKING:  # it needs the AMQP library, which readers do not need
    from worker.reading.outlet import BrokerConnections

__all__ = ["REACTION", "RELAY", "Output", "position_before"]

_log = logging.getLogger(__name__)

REACTION, RELAY = "reaction", "relay"
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
# The version never changes: a changed output that must begin anew gets another name.
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A reaction or a relay as its domain declares it."""

    domain: Domain
    output: Reaction | Relay

    @property
    def name(self) -> FollowerName:
        """The name of its follower."""
        kind = REACTION if isinstance(self.output, Reaction) else RELAY
        return FollowerName(kind=kind, domain=self.domain.name, name=self.output.name)

    @property
    def version(self) -> int:
        """Always 1."""
        return _VERSION

    @property
    def events(self) -> Filter:
        """The filter of the events that it follows."""
        if self.output.events is not None:
            return self.output.events
        # Including their former names: an event is relayed under its current name.
        return Filter.matching().any_event_type_of(*self.domain.event_models)

    @property
    def is_final(self) -> bool:
        """True: messages that were sent cannot be rolled back."""
        return True

    def fits(self, row: FollowerRow) -> bool:  # noqa: ARG002  the signature of ``Followed``
        """True: there is one follower only, and it is run."""
        return True

    def lacks_row(self, rows: list[FollowerRow]) -> bool:
        """Whether it was never run."""
        return not rows

    async def register(self, session: Session, store: EventStore) -> None:
        """Add a follower if there is none, at the position where the declaration says that it begins."""
        async with session.transaction() as transaction:
            if await Followers(transaction).of(self.name):
                return
        at = START if self.output.begins == "start" else await store.position()
        async with session.transaction() as transaction:
            followers = Followers(transaction)
            await followers.lock(self.name)
            if not await followers.of(self.name):
                await followers.add_at(self.name, version=_VERSION, position=at, head=at.number)

    def sink(self, session: Session, skipped: SkippedEvents, outlet: "BrokerConnections | None") -> Sink:
        """Return the sink that sends its messages; see ``Followed``.

        Raises:
            FollowerError: ``outlet`` is None.
        """
        if outlet is None:
            raise FollowerError(f"{self.name} has no way to the broker")
        if isinstance(self.output, Reaction):
            from worker.reading.reaction_sink import ReactionSink  # noqa: PLC0415  it needs the AMQP library

            return ReactionSink(self.domain, self.output, session, outlet, skipped)
        from worker.reading.relay_sink import RelaySink  # noqa: PLC0415  the same

        return RelaySink(self.domain, self.output, session, outlet, skipped)

    async def promote(self, session: Session, follower_id: int, fence: int) -> bool:  # noqa: ARG002  the signature of ``Followed``
        """Return False: there is no other follower to replace."""
        return False

    async def diverged(
        self,
        session: Session,
        store: EventStore,
        row: FollowerRow,
        fence: int,
        error: HistoryDiverged,  # noqa: ARG002  it names the last position only
    ) -> Failure | None:
        """Stop the follower until a person sets a position to go on from; see ``Followed``."""
        number, is_exact = await _first_other(store, row)
        which = f"from event {number} on" if is_exact else f"at or before event {number}"
        told = f"the log was rewritten {which}, and what was sent for the replaced events stays sent"
        async with session.transaction() as transaction:
            await Followers(transaction).stop_diverged(row.follower_id, fence, from_number=number, error=told)
        return Failure(number=number, event_type="", error=told, trace="")


async def position_before(store: EventStore, number: int | None) -> tuple[Position, int]:
    """Return the position after which an event is the next one, and the sequence number of the log's head.

    Args:
        store: The event store.
        number: Sequence number of the event; None for events that are recorded from now on.

    Raises:
        FollowerError: The log has no such event yet; or the event before is archived, and is not the last of its range.
        EventStoreError: The log cannot be read.
    """
    head = await store.position()
    if number is None:
        return head, head.number
    if number > head.number + 1:
        raise FollowerError(f"the log ends at event {head.number}: there is no event {number} to continue from yet")
    if number == 1:
        return START, head.number
    before = number - 1
    try:
        async for event in store.read(Filter.matching_any_event().narrowed_above(before - 1), up_to=before):
            return event.position, head.number
    except HistoryArchived as archived:
        if before != archived.last:
            raise FollowerError(
                f"events {archived.first:,} to {archived.last:,} are archived: continue from {archived.last + 1}, or "
                "restore them first with `worker db restore-archive`"
            ) from archived
        return await _end_of_archived(store, before), head.number
    raise FollowerError(f"the log has no event {before}")


async def _end_of_archived(store: EventStore, last: int) -> Position:
    """Return the position of the last event of an archived range: those of its other events are not known."""
    nothing = Filter.matching_any_event().occurred_until(_BEFORE_ALL).narrowed_above(last - 1)
    async for window in store.follow(nothing, batch_size=1, consistency=Consistency.STRONG):
        return window.position
    raise RuntimeError("the log has come to an end")


async def _first_other(store: EventStore, row: FollowerRow) -> tuple[int, bool]:
    """Return the first event that differs from what was followed, and whether that is exact or the latest possible."""
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
    # The log has everything that is recorded in the trail; what was sent after that is lost with the checkpoint.
    return row.position.number + 1, True


async def _has(store: EventStore, position: Position) -> bool:
    if position == START:
        return True
    number = position.number
    async for event in store.read(Filter.matching_any_event().narrowed_above(number - 1), up_to=number):
        return event.position == position
    return False
