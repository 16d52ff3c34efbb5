"""Chunks: the events of a source, a transaction's worth at a time."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from eventstore.events import Event

__all__ = ["Chunk", "ChunkBuilder", "RunningDigest"]

# While a chunk is inserted everybody else waits, some hundredths of a second.
_MOST_EVENTS = 2000
_MOST_BYTES = 4_000_000
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some events, to be recorded in one transaction.

    Attributes:
        events: Those.
        digest: What all records up to its last one add up to.
        source_number: The last one's number in its source.
    """

    events: Sequence[Event]
    digest: bytes | None = None
    source_number: int | None = None


class RunningDigest:
    """What the records of a source add up to, as they are recorded."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)

    def add(self, event: Event) -> None:
        """Add the next one."""
        texts = (event.type, event.occurred_at.isoformat(), event.payload_text, event.metadata_text)
        # No text holds a NUL character.
        self._hash.update("\0".join(texts).encode() + b"\0")

    def value(self) -> bytes:
        """Return it."""
        return self._hash.digest()


class ChunkBuilder:
    """Gathers events until they are a chunk."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._bytes = 0

    def add(self, event: Event) -> bool:
        """Add the next one; return whether there is room for no other."""
        self._events.append(event)
        self._bytes += len(event.payload_text) + len(event.metadata_text)
        return len(self._events) == _MOST_EVENTS or self._bytes >= _MOST_BYTES

    def take(self) -> Sequence[Event]:
        """Return what was gathered, and begin anew."""
        events, self._events, self._bytes = self._events, [], 0
        return events
