"""The sink of what is sent: confirmed by the broker first, the checkpoint after that, so that nothing is left out."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

from eventstore import RecordedEvent, Window
from eventstore.postgres import Session
from worker.amqp.ordered_sender import Unsent
from worker.errors import BrokerMisconfigured, BrokerUnavailable
from worker.reading.event_failed import EventFailed, failure_of
from worker.reading.followers import Failure
from worker.reading.lease import Checkpoint

__all__ = ["SendingSink"]

M = TypeVar("M")


class SendingSink(ABC, Generic[M]):
    """Makes messages of events, sends them, and then moves the checkpoint.

    What is sent and not yet behind the checkpoint when a process ends is sent again by the next one.

    Args:
        session: The database of the checkpoint; nobody else uses it meanwhile.
        skipped: The numbers of events that are left out.
    """

    def __init__(self, session: Session, skipped: Collection[int]) -> None:
        self._session = session
        self._skipped = frozenset(skipped)

    @abstractmethod
    def made(self, event: RecordedEvent) -> Sequence[M]:
        """Return what is sent on account of an event, in order. Whatever it raises stops the follower there."""

    @abstractmethod
    async def send(self, messages: Sequence[M]) -> Unsent | None:
        """Send messages, and wait until the broker has confirmed them.

        Returns:
            None where all are confirmed. Else the first that is not: with ``BrokerUnavailable`` or
            ``BrokerMisconfigured`` where it is for later, with any other error where it can never be sent.
        """

    async def take(self, window: Window, checkpoint: Checkpoint) -> None:
        """See ``Sink.take``.

        Raises:
            EventFailed: An event has no message that can be sent.
            LeaseLost: Another process has the lease.
            BrokerUnavailable, BrokerMisconfigured: Not all is confirmed; what is, lies behind the checkpoint.
            EventStoreError: The database does not take the checkpoint now.
        """
        events, head = window.events, window.head.number
        messages, places, failed = self._all_made(events)
        if messages:
            # A process that was frozen must not send behind whoever took over.
            await checkpoint.check(self._session)
            if (unsent := await self.send(messages)) is not None:
                place = places[unsent.place]
                if isinstance(unsent.error, BrokerUnavailable | BrokerMisconfigured):
                    await self._move_before(events, place, checkpoint, head)
                    raise unsent.error
                failed = place, failure_of(events[place], unsent.error)
        if failed is None:
            await checkpoint.move_alone(self._session, window.position, head=head)
            return
        place, failure = failed
        await self._move_before(events, place, checkpoint, head)
        raise EventFailed(failure)

    async def _move_before(
        self, events: Sequence[RecordedEvent], place: int, checkpoint: Checkpoint, head: int
    ) -> None:
        if place and events[place - 1].sequence_number > checkpoint.position.number:
            await checkpoint.move_alone(self._session, events[place - 1].position, head=head)

    def _all_made(self, events: Sequence[RecordedEvent]) -> tuple[list[M], list[int], tuple[int, Failure] | None]:
        """Return what is sent, of which event each is; and at which of them that ends before the last, and why."""
        messages: list[M] = []
        places: list[int] = []
        for place, event in enumerate(events):
            if event.sequence_number in self._skipped:
                continue
            try:
                made = self.made(event)
            except Exception as bug:  # noqa: BLE001  whatever a function of somebody's raises
                return messages, places, (place, failure_of(event, bug))
            messages += made
            places += [place] * len(made)
        return messages, places, None
