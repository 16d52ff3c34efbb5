"""Stored states: what a view's fold came to, kept beside the log so that a cold reader need not fold it again.

They are a cache. The log alone is the truth: one that is missing, of another version or of a rewritten history costs a
longer read and nothing else.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from eventstore.jsontext import canonical
from eventstore.position import Position

__all__ = ["StateKey", "StoredState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateKey:
    """What a stored state is of.

    Attributes:
        domain: The domain's name.
        view: The view's name.
        version: The view's version.
        key: The view's key, as the canonical text of a JSON array.
        filter_digest: The digest of the filter that its events were found by.
    """

    domain: str
    view: str
    version: int
    key: str
    filter_digest: bytes

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for the key in every process and release."""
        parts = [self.domain, self.view, self.version, self.key, self.filter_digest.hex()]
        return hashlib.blake2b(canonical(parts), digest_size=32).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """A state with the position up to which it is folded.

    Attributes:
        key: What it is of.
        position: How far the log was read.
        state: The state, in whatever form its writer gave it.
        events: How many events it was folded from.
        written_at: When it was stored, by the database's clock; None until then.
        sensitive: Whether it may show what stands sealed in events. It is deleted when a subject is forgotten, and not
            stored when one was above its position. It is not read back.
    """

    key: StateKey
    position: Position
    state: bytes
    events: int
    written_at: datetime | None = None
    sensitive: bool = field(default=False, compare=False)
