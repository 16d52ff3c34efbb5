"""The sink of a reaction: commands with derived ids, so that each takes effect once however often it is sent."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from opentelemetry.context import attach

from eventstore import RecordedEvent
from eventstore.backoff import Backoff
from eventstore.postgres import Session
from handlers import Domain, Reaction, Send
from worker.amqp.ordered_sender import Unsent
from worker.errors import Unroutable
from worker.reading.outlet import BrokerConnections
from worker.reading.sending_sink import SendingSink
from worker.reading.skipped_events import SkippedEvents
from worker.telemetry.trace_context import extracted

__all__ = ["ReactionSink"]

# How many commands are sent to the broker at the same time.
_AT_ONCE = 256
_SEND_SECONDS = 30.0
_FIRST_REST, _LONGEST_REST = 0.1, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """A command that a reaction returned for an event.

    Attributes:
        command_id: Its id, derived from the event.
        to: Name of the domain that decides it.
        send: What the reaction returned.
        affinity_key: Its affinity key; None if it has none, or if its domain is not loaded here.
        cause: The event's position, as text.
        metadata: The event's metadata.
    """

    command_id: UUID
    to: str
    send: Send
    affinity_key: str | None
    cause: str
    metadata: Mapping[str, Any]


class ReactionSink(SendingSink[_Command]):
    """Sends the commands that a reaction returns.

    Args:
        domain: The domain of the events.
        reaction: The reaction.
        session: A session with the database of the checkpoint, for this sink alone.
        outlet: The connections to the broker.
        skipped: The events to skip; by default none.
    """

    def __init__(
        self,
        domain: Domain,
        reaction: Reaction,
        session: Session,
        outlet: BrokerConnections,
        skipped: SkippedEvents | None = None,
    ) -> None:
        super().__init__(session, skipped or SkippedEvents())
        self._domain = domain
        self._reaction = reaction
        self._outlet = outlet

    def made(self, event: RecordedEvent) -> list[_Command]:
        """Return the commands of an event; see ``SendingSink``."""
        reaction, position, metadata = self._reaction, event.position, event.metadata
        return [
            _Command(
                command_id=reaction.command_id(self._domain.name, position, index),
                to=send.to or self._domain.name,
                send=send,
                affinity_key=self._affinity_key(send),
                cause=str(position),
                metadata=metadata,
            )
            for index, send in enumerate(reaction.sent_by(self._domain.projected(event)))
        ]

    async def send(self, messages: Sequence[_Command]) -> Unsent | None:
        """Send commands; see ``SendingSink``."""
        for start in range(0, len(messages), _AT_ONCE):
            some = messages[start : start + _AT_ONCE]
            outcomes = await asyncio.gather(*map(self._published, some), return_exceptions=True)
            for place, outcome in enumerate(outcomes, start=start):
                if isinstance(outcome, Exception):
                    return Unsent(place=place, error=outcome)
                if outcome is not None:
                    raise outcome
        return None

    async def _published(self, each: _Command) -> None:
        # Each is sent in a task of its own, so the context ends with it.
        attach(extracted(each.metadata))
        backoff = Backoff(first=_FIRST_REST, longest=_LONGEST_REST)
        until = time.monotonic() + self._outlet.route_seconds
        while True:
            try:
                return await self._published_once(each)
            except Unroutable:
                # A broker that has just started may know an exchange before its bindings.
                if time.monotonic() >= until:
                    raise
            await backoff.rest()

    async def _published_once(self, each: _Command) -> None:
        publisher, send = self._outlet.publisher, each.send
        await (publisher.publish if send.at is None else partial(publisher.schedule, at=send.at))(
            each.to,
            type(send.command).__name__,
            send.command,
            command_id=each.command_id,
            correlation_id=_text(each.metadata, "correlation_id"),
            causation_id=_text(each.metadata, "command_id") or each.cause,
            affinity_key=each.affinity_key,
            timeout=_SEND_SECONDS,
        )

    def _affinity_key(self, send: Send) -> str | None:
        """Return a command's affinity key, if its domain is loaded here, and check that the domain has the command."""
        to = self._domain if send.to is None else self._outlet.domains.get(send.to)
        if to is None:
            return None
        to.check_sent(self._reaction, send.command)
        return to.affinity_key(send.command)


def _text(metadata: Mapping[str, Any], name: str) -> str | None:
    found = metadata.get(name)
    return found if isinstance(found, str) and found else None
