"""Chunks: the events of a source, divided into transactions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from eventstore.events import Event

__all__ = ["Chunk", "ChunkBuilder", "RunningDigest"]

# While a chunk is inserted, all appends wait, for some hundredths of a second.
_MOST_EVENTS = 2000
_MOST_BYTES = 4_000_000
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Events that are recorded in one transaction.

    Attributes:
        events: The events, in order.
        digest: The digest of all records of the source up to the chunk's last one; None for an adoption.
        source_number: The number of the last event in its source; None for a file.
    """

    events: Sequence[Event]
    digest: bytes | None = None
    source_number: int | None = None


class RunningDigest:
    """The running digest of a source's records, as they are recorded."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)

    def add(self, event: Event) -> None:
        """Add the next event."""
        texts = (event.type, event.occurred_at.isoformat(), event.payload_text, event.metadata_text)
        # No text holds a NUL character.
        self._hash.update("\0".join(texts).encode() + b"\0")

    def value(self) -> bytes:
        """Return the digest of the events added so far."""
        return self._hash.digest()


class ChunkBuilder:
    """Collects events until a chunk is full."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._bytes = 0

    def add(self, event: Event) -> bool:
        """Add the next event, and return whether the chunk is full."""
        self._events.append(event)
        self._bytes += len(event.payload_text) + len(event.metadata_text)
        return len(self._events) == _MOST_EVENTS or self._bytes >= _MOST_BYTES

    def take(self) -> Sequence[Event]:
        """Return the collected events, and begin a new chunk."""
        events, self._events, self._bytes = self._events, [], 0
        return events
