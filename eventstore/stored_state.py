"""Stored states: the folded state of a view, stored beside the log so that a reader need not fold it again.

They are a cache of the log. If a state is missing, or is of another version or of a rewritten history, the only cost is
a longer read.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from eventstore.jsontext import canonical
from eventstore.position import Position

__all__ = ["StateKey", "StoredState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateKey:
    """Identifies a stored state.

    Attributes:
        domain: The domain's name.
        view: The view's name.
        version: The view's version.
        key: The view's key, as the canonical text of a JSON array.
        filter_digest: The digest of the filter that selects the view's events.
    """

    domain: str
    view: str
    version: int
    key: str
    filter_digest: bytes

    @property
    def digest(self) -> bytes:
        """A digest of 32 bytes that is the same for this key in every process and release."""
        parts = [self.domain, self.view, self.version, self.key, self.filter_digest.hex()]
        return hashlib.blake2b(canonical(parts), digest_size=32).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """A folded state, and the position up to which events were folded.

    Attributes:
        key: The key that the state is stored under.
        position: The position up to which the log was read.
        state: The state, as encoded by its writer.
        events: The number of events that were folded into it.
        written_at: When the state was stored, by the database's clock; None before.
        sensitive: Whether the state may reveal sealed values of events; by default False. Such a state is deleted when
            a subject is forgotten, and is not stored if a subject was forgotten above its position. The attribute is
            not read back.
    """

    key: StateKey
    position: Position
    state: bytes
    events: int
    written_at: datetime | None = None
    sensitive: bool = field(default=False, compare=False)
