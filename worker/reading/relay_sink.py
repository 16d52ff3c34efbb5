"""The sink of a relay: publishes events in order to the domain's topic exchange, each at least once."""

from collections.abc import Sequence

from eventstore import RecordedEvent
from eventstore.postgres import Session
from handlers import Domain, Relay
from worker.amqp.ordered_sender import Outgoing, Unsent
from worker.errors import BrokerUnavailable, MessageRefused, Unroutable
from worker.reading.cloud_event import message_of
from worker.reading.outlet import BrokerConnections
from worker.reading.sending_sink import SendingSink
from worker.reading.skipped_events import SkippedEvents
from worker.topology import events_exchange

__all__ = ["RelaySink"]

# How many messages are sent to the broker at the same time.
_AT_ONCE = 500
_SEND_SECONDS = 30.0


class RelaySink(SendingSink[Outgoing]):
    """Publishes the events of a relay.

    Args:
        domain: The domain of the events.
        relay: The relay.
        session: A session with the database of the checkpoint, for this sink alone.
        outlet: The connections to the broker.
        skipped: The events to skip; by default none.
    """

    def __init__(
        self,
        domain: Domain,
        relay: Relay,
        session: Session,
        outlet: BrokerConnections,
        skipped: SkippedEvents | None = None,
    ) -> None:
        super().__init__(session, skipped or SkippedEvents())
        self._domain = domain
        self._relay = relay
        self._source = outlet.source
        self._sender = outlet.events_of(domain.name)
        self._exchange = events_exchange(domain.name)

    def made(self, event: RecordedEvent) -> list[Outgoing]:
        """Return the message of an event; see ``SendingSink``."""
        return [message_of(event, self._domain, self._relay, self._source)]

    async def send(self, messages: Sequence[Outgoing]) -> Unsent | None:
        """Publish messages; see ``SendingSink``."""
        for start in range(0, len(messages), _AT_ONCE):
            unsent = await self._published(messages[start : start + _AT_ONCE], start)
            place = unsent.place if unsent is not None else len(messages)
            if unsent is not None and isinstance(unsent.error, MessageRefused):
                # The refused message may come after the first unconfirmed one. Sent alone, each shows whether it is the
                # one.
                unsent = None
                while unsent is None and place < min(start + _AT_ONCE, len(messages)):
                    unsent = await self._published([messages[place]], place)
                    place += 1
            if unsent is not None:
                return unsent
        return None

    async def _published(self, messages: Sequence[Outgoing], start: int) -> Unsent | None:
        unsent = await self._sender.send(messages, exchange=self._exchange, timeout=_SEND_SECONDS)
        if unsent is None:
            return None
        error = unsent.error
        # The exchange was deleted: it is declared again with the next channel.
        passing = BrokerUnavailable(str(error)) if isinstance(error, Unroutable) else error
        return Unsent(place=start + unsent.place, error=passing)
