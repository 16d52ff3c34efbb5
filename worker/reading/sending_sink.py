"""The sink of messages: the broker confirms them before the checkpoint moves, so that none is left out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from eventstore import RecordedEvent, Window
from eventstore.postgres import Session
from worker.amqp.ordered_sender import Unsent
from worker.errors import BrokerMisconfigured, BrokerUnavailable
from worker.reading.event_failed import EventFailed, failure_of
from worker.reading.followers import Failure
from worker.reading.lease import Checkpoint
from worker.reading.skipped_events import SkippedEvents

__all__ = ["SendingSink"]

M = TypeVar("M")

# From how many messages on they are sent. One more event is added as long as there are fewer.
_MOST = 2000


class SendingSink(ABC, Generic[M]):
    """Makes messages of events, sends them, and then moves the checkpoint.

    Messages that were sent when a process ended before it moved the checkpoint are sent again by the next one.

    Args:
        session: A session with the database of the checkpoint, for this sink alone.
        skipped: The events to skip.
    """

    def __init__(self, session: Session, skipped: SkippedEvents) -> None:
        self._session = session
        self._skipped = skipped

    @abstractmethod
    def made(self, event: RecordedEvent) -> Sequence[M]:
        """Return the messages of an event, in order. An error that it raises stops the follower at this event."""

    @abstractmethod
    async def send(self, messages: Sequence[M]) -> Unsent | None:
        """Send messages, and wait until the broker has confirmed them.

        Returns:
            None if all are confirmed. Otherwise the first that is not: with ``BrokerUnavailable`` or
            ``BrokerMisconfigured`` if it can be sent later, with any other error if it never can.
        """

    async def take(self, window: Window, checkpoint: Checkpoint) -> None:
        """Process a window as in ``Sink.take``.

        Raises:
            EventFailed: An event has no message that can be sent.
            LeaseLost: Another process has the lease.
            BrokerUnavailable, BrokerMisconfigured: Not all are confirmed. The checkpoint is after those that are.
            EventStoreError: The checkpoint cannot be written now.
        """
        events, head, start = window.events, window.head.number, 0
        while True:
            made = self._made(events, start)
            if made.messages:
                # A process that was frozen must not send after another one has taken over.
                await checkpoint.check(self._session)
                if (unsent := await self.send(made.messages)) is not None:
                    place = made.places[unsent.place]
                    await self._move_before(events, place, checkpoint, head)
                    if isinstance(unsent.error, BrokerUnavailable | BrokerMisconfigured):
                        raise unsent.error
                    raise EventFailed(failure_of(events[place], unsent.error))
            if made.failure is not None:
                await self._move_before(events, made.end, checkpoint, head)
                raise EventFailed(made.failure)
            if made.end == len(events):
                await checkpoint.move_alone(self._session, window.position, head=head)
                return
            await self._move_before(events, made.end, checkpoint, head)
            start = made.end

    async def _move_before(
        self, events: Sequence[RecordedEvent], place: int, checkpoint: Checkpoint, head: int
    ) -> None:
        if place and events[place - 1].sequence_number > checkpoint.position.number:
            await checkpoint.move_alone(self._session, events[place - 1].position, head=head)

    def _made(self, events: Sequence[RecordedEvent], start: int) -> "_Made[M]":
        """Make the messages to send together, from an event on."""
        made: _Made[M] = _Made(end=start)
        for place in range(start, len(events)):
            event = events[place]
            if event not in self._skipped:
                try:
                    messages = self.made(event)
                except Exception as bug:  # noqa: BLE001  any error of a domain's function
                    made.failure = failure_of(event, bug)
                    return made
                made.messages += messages
                made.places += [place] * len(messages)
            made.end = place + 1
            if len(made.messages) >= _MOST:
                break
        return made


@dataclass(slots=True, kw_only=True)
class _Made(Generic[M]):
    """The messages of some events, to be sent together.

    Attributes:
        end: How many events of the window are processed.
        messages: The messages.
        places: For each message, the index of its event.
        failure: The failure of the next event; None if there is none.
    """

    end: int
    messages: list[M] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    failure: Failure | None = None
